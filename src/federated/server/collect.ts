/** How answers become means: each vector is added as it comes, in an exact sum whose order changes no bit. */
import type { NativeAggregator } from '../../native/binding.js'
import { native } from '../../native/load.js'
import type { Vectors } from '../algorithms/algorithm.js'

/** The sums of one round, a sum for each name and length of vector. */
export class Collector {
  readonly #sums = new Map<string, NativeAggregator>()
  readonly #means = new Map<string, Float32Array>()

  /** A round begins. */
  reset(): void {
    for (const sum of this.#sums.values()) sum.reset()
  }

  /**
   * Adds vectors by their weight.
   * @throws FedloraError `E_NONFINITE`; `E_ARGUMENT` for a weight that is not above 0.
   */
  add(vectors: Readonly<Vectors>, weight: number): void {
    for (const [name, vector] of Object.entries(vectors)) this.#sumOf(name, vector.length).add(vector, weight)
  }

  #sumOf(name: string, length: number): NativeAggregator {
    const before = this.#sums.get(name)
    if (before?.length === length) return before
    before?.dispose()
    const sum = native().createAggregator(length)
    this.#sums.set(name, sum)
    this.#means.set(name, new Float32Array(length))
    return sum
  }

  /** The weighted mean of a vector, in an array that the next call reuses; null when nobody sent it. */
  mean(name: string): Float32Array | null {
    const sum = this.#sums.get(name)
    return sum === undefined || sum.count === 0 ? null : sum.mean(this.#means.get(name)!)
  }

  dispose(): void {
    for (const sum of this.#sums.values()) sum.dispose()
  }
}
