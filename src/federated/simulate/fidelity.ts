/** What encoding costs, as only a simulation can know: the mean that was sent beside the mean of the updates as they were. */
import type { NativeAggregator } from '../../native/binding.js'
import { native } from '../../native/load.js'
import { encodeVector } from '../vector-message.js'

export class Fidelity {
  readonly #exact: NativeAggregator | undefined
  readonly #mean: Float32Array

  /** @param lossless - nothing is lost, so there is nothing to compare. */
  constructor(length: number, lossless: boolean) {
    this.#exact = lossless ? undefined : native().createAggregator(length)
    this.#mean = new Float32Array(lossless ? 0 : length)
  }

  /** A round begins. */
  reset(): void {
    this.#exact?.reset()
  }

  /** Adds an update as it was before encoding. */
  add(update: Float32Array, rows: number): void {
    this.#exact?.add(encodeVector(update), rows)
  }

  /** Cosine between the mean of what was sent and that of what was meant. */
  cosine(sent: Float32Array): number {
    return this.#exact === undefined ? 1 : native().cosine(sent, this.#exact.mean(this.#mean))
  }

  dispose(): void {
    this.#exact?.dispose()
  }
}
