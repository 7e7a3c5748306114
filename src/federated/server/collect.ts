/** How answers become a mean: each is decoded, checked and added as it comes, in an exact sum whose order changes no bit. */
import type { NativeAggregator } from '../../native/binding.js'
import { native } from '../../native/load.js'
import type { Answer } from '../protocol/messages.js'

export class Collector {
  readonly #sum: NativeAggregator
  readonly #mean: Float32Array

  /** @param length - of the adapter. */
  constructor(length: number) {
    this.#sum = native().createAggregator(length)
    this.#mean = new Float32Array(length)
  }

  /** A round begins. */
  reset(): void {
    this.#sum.reset()
  }

  /**
   * Adds an answer by its rows; one without a message adds nothing.
   * @throws FedloraError `E_FORMAT`, `E_CHECKSUM`, `E_VERSION`, `E_SHAPE` for a message that is none: the sum is as before.
   */
  add({ message, rows }: Pick<Answer, 'message' | 'rows'>): void {
    if (message !== null) this.#sum.add(message, rows)
  }

  /** Mean of the updates, weighted by rows, in an array that the next call reuses; null when there was none. */
  mean(): Float32Array | null {
    return this.#sum.count === 0 ? null : this.#sum.mean(this.#mean)
  }

  dispose(): void {
    this.#sum.dispose()
  }
}
