/**
 * What a federation costs until it is as good as is asked for: a sum over its events up to the first evaluation that is.
 *
 * Work of training over a frozen base, by the tokens t of a client, the parameters P of the base's matrices (embeddings are looked up, the head
 * counts) and the values A of the adapter: forward 2(P + A), backward through the base for its inputs 2P, through the adapter for inputs and
 * weights 4A:
 *
 *   FLOP = t·(4P + 6A)
 *
 * Attention's products of positions, norms and what is computed twice to save memory are left out; an algorithm that trains more than once a
 * step, or by forward passes alone, is counted by its tokens all the same.
 *
 * Source: Kaplan et al. 2020, "Scaling laws for neural language models", section 2.1 (2 FLOP a parameter and token forward, twice that backward).
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describeValue } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import { ioError } from '../files/atomic.js'
import type { FederationEvent, RoundEvent } from './events.js'

/** FLOP of a token: 4P + 6A. */
export const flopPerToken = (base: number, adapter: number): number => 4 * base + 6 * adapter

/** Sums over the rounds up to the target. */
export interface CostToTarget {
  /** The round after which the loss was measured, and that loss. */
  round: number
  loss: number
  /** Virtual seconds; null without `clock`. */
  seconds: number | null
  /** Bytes of all messages, also of answers that did not count. */
  bytesUp: number
  bytesDown: number
  /** Floating-point operations of local training, by the formula 4P + 6A a token. */
  flop: number
  /** Hours that clients trained, sent and received, in virtual time; null without `clock`. */
  clientHours: number | null
  /** Estimate of the energy that clients used; null without `clock`. */
  joules: number | null
}

/** Sums the events of one federation, in their order. */
export class CostMeter {
  readonly #target: number
  readonly #sums = { seconds: 0, bytesUp: 0, bytesDown: 0, flop: 0, clientHours: 0, joules: 0 }
  #timed = false
  /** Whether a held-out loss was measured at all. */
  measured = false
  /** Undefined until the target is reached. */
  cost: CostToTarget | undefined

  /** @throws FedloraError `E_ARGUMENT` for a target that is no loss. */
  constructor({ loss }: { loss: number }) {
    if (typeof loss !== 'number' || !Number.isFinite(loss)) {
      const message = `costToTarget: loss: got ${describeValue(loss)}, expected a finite number, the held-out loss to be reached`
      throw new FedloraError('E_ARGUMENT', message, { loss })
    }
    this.#target = loss
  }

  add(event: FederationEvent): void {
    if (this.cost !== undefined) return
    if (event.type === 'round') this.#round(event)
    if (event.type !== 'evaluation' || event.of !== 'global' || event.clients !== undefined) return
    this.measured = true
    if (!(event.loss <= this.#target)) return
    const { seconds, clientHours, joules, ...sums } = this.#sums
    const time = this.#timed ? { seconds, clientHours, joules } : { seconds: null, clientHours: null, joules: null }
    this.cost = { round: event.round, loss: event.loss, ...sums, ...time }
  }

  #round({ bytesUp, bytesDown, flop, clock }: RoundEvent): void {
    const sums = this.#sums
    sums.bytesUp += clock?.bytesUp ?? bytesUp
    sums.bytesDown += clock?.bytesDown ?? bytesDown
    sums.flop += flop ?? 0
    if (clock === undefined) return
    const { download, compute, upload } = clock.seconds
    this.#timed = true
    sums.seconds = clock.end
    sums.clientHours += (download + compute + upload) / 3600
    sums.joules += clock.joules
  }
}

function eventsIn(folder: string): FederationEvent[] {
  const path = join(folder, 'events.ndjson')
  try {
    const lines = readFileSync(path, 'utf8').split('\n')
    // What stands behind the last line's end was cut off in writing.
    return lines.slice(0, -1).map((line) => JSON.parse(line) as FederationEvent)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw ioError(error, `cannot read '${path}'; name the folder of a run`)
    throw new FedloraError('E_FORMAT', `'${path}': a line is no JSON; name the folder of a run`, { path }, error)
  }
}

/**
 * What a federation cost until its global adapter reached a loss on `evaluate.data`; null when it never did.
 * @param events - of a run, in their order, or its folder. It is as sharp as `evaluate.every`: a target is reached when it is measured.
 * @throws FedloraError `E_ARGUMENT` for a target that is no loss, events that are none, and a run that measured no held-out loss; `E_IO`,
 * `E_MISSING`, `E_FORMAT` for a folder without a readable log.
 * @example
 * ```ts
 * const model = await loadModel('SmolLM2-135M-Instruct', { quantization: 'nf4' })
 * const data = await loadDataset('notes.jsonl', { format: 'alpaca', tokenizer: model })
 * const clients = split(data, { by: 'iid', clients: 3, seed: 1 })
 * const run = simulate({ model, clients, rounds: 2, local: { steps: 1 }, clock: {}, evaluate: { data, every: 1 } })
 * const events = []
 * for await (const event of run) events.push(event)
 * const cost = costToTarget(events, { loss: 2.5 })
 * if (cost !== null) console.log(`${cost.seconds} s, ${cost.bytesUp} bytes up, ${cost.flop} FLOP`)
 * ```
 */
export function costToTarget(
  events: Iterable<FederationEvent> | string,
  target: { loss: number },
): CostToTarget | null {
  const meter = new CostMeter(Object(target))
  const list = typeof events === 'string' ? eventsIn(events) : events
  if (typeof Object(list)[Symbol.iterator] !== 'function') {
    const message = `costToTarget: events: got ${describeValue(events)}, expected the events of a run, or its folder`
    throw new FedloraError('E_ARGUMENT', message)
  }
  for (const event of list) {
    if (typeof event?.type !== 'string') {
      const message = `costToTarget: events: got ${describeValue(event)} among them, expected events of a federation`
      throw new FedloraError('E_ARGUMENT', message)
    }
    meter.add(event)
  }
  if (!meter.measured) {
    const message = `costToTarget: no event measures a held-out loss; run it with evaluate: { data, every: 1 }`
    throw new FedloraError('E_ARGUMENT', message)
  }
  return meter.cost ?? null
}
