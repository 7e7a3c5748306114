/** What the server remembers from round to round. */
import type { RoundEvent } from '../events.js'
import { createServerOptimizer, type ServerOptimizer, type ServerOptimizerOptions } from '../server-step/step.js'
import { addRound, noTotals, type Totals } from './figures.js'

/** A server as a checkpoint has it. */
interface Restored {
  round: number
  totals: Totals
  vectors: Readonly<Record<string, Float32Array>>
}

export class Server {
  /** The adapter, changed in place. */
  readonly adapter: Float32Array
  readonly #optimizer: ServerOptimizer
  /** Rounds done. */
  round = 0
  totals: Totals = noTotals

  /** @throws FedloraError `E_SHAPE` when moments of another rule are restored. */
  constructor(options: ServerOptimizerOptions, initial: Float32Array, restored?: Restored) {
    this.adapter = (restored?.vectors.adapter ?? initial).slice()
    const { moment1 = new Float32Array(0), moment2 = new Float32Array(0) } = restored?.vectors ?? {}
    this.#optimizer = createServerOptimizer(options, initial.length, restored && { moment1, moment2 })
    if (restored !== undefined) ({ round: this.round, totals: this.totals } = restored)
  }

  /** The optimiser's live moments. */
  get moments(): { moment1: Float32Array; moment2: Float32Array } {
    return this.#optimizer.state
  }

  /** A round is complete: its mean, if there is one, becomes a step. */
  finish(event: RoundEvent, mean: Float32Array | null): void {
    if (mean !== null) this.#optimizer.step(this.adapter, mean)
    this.round = event.round
    this.totals = addRound(this.totals, event)
  }
}
