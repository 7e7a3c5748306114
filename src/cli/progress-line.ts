/** Progress of parts that are counted. */
import type { Output } from './output.js'
import { formatCount } from './words.js'

/** Progress of something with a known number of parts: how many are done, and the time left by the pace so far. */
export class ProgressLine {
  readonly #output: Output
  readonly #label: string
  readonly #total: number
  readonly #started = performance.now()
  #first: number | undefined

  constructor(output: Output, label: string, total: number) {
    this.#output = output
    this.#label = label
    this.#total = total
  }

  /** `done` of the total; those before the first call are not part of the pace. */
  update(done: number, loss?: number | null, tokensPerSecond?: number): void {
    this.#first ??= done - 1
    const elapsed = (performance.now() - this.#started) / 1000
    const here = done - this.#first
    const left = here > 0 ? (elapsed / here) * (this.#total - done) : undefined
    const details: string[] = []
    if (loss !== undefined && loss !== null) details.push(`loss ${loss.toFixed(4)}`)
    if (tokensPerSecond !== undefined) details.push(`${formatCount(tokensPerSecond)} tokens/s`)
    const event = { phase: this.#label, done, total: this.#total, ...(left !== undefined && { left }) }
    this.#output.status({
      label: `${this.#label} ${done}/${this.#total}`,
      ...(left !== undefined && { left }),
      details,
      event,
    })
  }

  end(): void {
    this.#output.endProgress()
  }
}
