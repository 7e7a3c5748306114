/** How the vectors of a round's answers become one vector a name. */
import { FedloraError } from '../../errors.js'
import type { NativeAggregator } from '../../native/binding.js'
import { native } from '../../native/load.js'
import type { Numbers, Vectors } from '../algorithms/algorithm.js'

export interface Collector {
  /** What it remembers from round to round, for checkpoints; absent: nothing. */
  readonly kept?: Numbers
  /** 2-norm that clients are asked to cut what they send to; absent: none. */
  readonly clip?: number
  /** Whether a round without an answer makes a step, too; default false. */
  readonly always?: boolean
  /** A round begins: nothing has come. */
  begin(round: number): void
  /**
   * Takes the decoded vectors of an answer, by its weight.
   * @param round - that it answers.
   * @throws FedloraError `E_NONFINITE`; `E_ARGUMENT` for a weight that is not above 0.
   */
  add(client: string, vectors: Readonly<Vectors>, weight: number, round: number): void | Promise<void>
  /** Where sums can be made elsewhere: the name of the sum that takes a client's vector. Absent: they cannot. */
  sumOf?(client: string, name: string, round: number): string
  /** Adds sums that were made elsewhere, by those names. @throws FedloraError as `ExactCollector.merge`. */
  merge?(sums: ReadonlyMap<string, PartialSum>): void
  /** All answers have come. Why they make no step, in words: the state then stays as it is. Absent or undefined: they make one. */
  lacks?(): string | undefined
  /** The clients whose vectors the means are made of, where a rule selects; known when one was asked for. */
  readonly selected?: readonly string[] | undefined
  /** What the round's vectors of a name come to, in an array that the next call reuses; null when nobody sent one. */
  mean(name: string): Float32Array | null
  dispose(): void
}

/** The exact sum of vectors, made elsewhere. */
export interface PartialSum {
  /** Values of each of them. */
  readonly length: number
  /** Vectors in it. */
  readonly count: number
  readonly bytes: Uint8Array
}

/** The weighted mean Σ wₖ·xₖ / Σ wₖ: each vector is added as it comes, in an exact sum whose order changes no bit. */
export class ExactCollector implements Collector {
  /** A sum for each name and length of vector. */
  readonly #sums = new Map<string, NativeAggregator>()
  readonly #means = new Map<string, Float32Array>()

  begin(): void {
    for (const sum of this.#sums.values()) sum.reset()
  }

  add(_client: string, vectors: Readonly<Vectors>, weight: number): void {
    for (const [name, vector] of Object.entries(vectors)) this.#aggregatorOf(name, vector.length).add(vector, weight)
  }

  sumOf(_client: string, name: string): string {
    return name
  }

  /** The sums as bytes, by name; none where nobody sent a vector. */
  partials(): Record<string, Uint8Array> {
    const named = [...this.#sums].flatMap(([name, sum]) => (sum.count === 0 ? [] : [[name, sum.partial()] as const]))
    return Object.fromEntries(named)
  }

  /**
   * Adds sums that `partials` of another gave, one by one.
   * @throws FedloraError `E_FORMAT`, `E_CHECKSUM`, `E_VERSION`, `E_SHAPE` for what is none of that length, `E_PROTOCOL` for one of more or fewer
   * vectors: what was added before it stays.
   */
  merge(sums: ReadonlyMap<string, PartialSum>): void {
    for (const [name, { length, count, bytes }] of sums) {
      const sum = this.#aggregatorOf(name, length)
      const before = sum.count
      sum.merge(bytes)
      const got = sum.count - before
      if (got === count) continue
      const message = `the sum '${name}' is of ${got} vectors, expected ${count}`
      throw new FedloraError('E_PROTOCOL', message, { sum: name, got, expected: count })
    }
  }

  #aggregatorOf(name: string, length: number): NativeAggregator {
    const before = this.#sums.get(name)
    if (before?.length === length) return before
    before?.dispose()
    const sum = native().createAggregator(length)
    this.#sums.set(name, sum)
    this.#means.set(name, new Float32Array(length))
    return sum
  }

  mean(name: string): Float32Array | null {
    const sum = this.#sums.get(name)
    return sum === undefined || sum.count === 0 ? null : sum.mean(this.#means.get(name)!)
  }

  dispose(): void {
    for (const sum of this.#sums.values()) sum.dispose()
  }
}
