/** Exact weighted means of encoded updates, and of vectors as they are. */
import { z } from 'zod'
import { into, type ThreadOptions, threadsSchema } from '../compression/codec.js'
import { describeValue } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import type { NativeAggregator } from '../native/binding.js'
import { Handle } from '../native/handle.js'
import { native } from '../native/load.js'
import { parseOptions } from '../options/parse.js'

export const meanSchema = z.strictObject({ into })

/** Options of `Aggregator.mean`. */
export type MeanOptions = z.input<typeof meanSchema>

/** A message and its weight: the rows it was trained on, or any other number above 0; default 1. */
export interface WeightedMessage {
  bytes: Uint8Array
  weight?: number
}

/** A vector as it is, and its weight; default 1. */
export interface WeightedVector {
  vector: Float32Array
  weight?: number
}

function checkUpdate(value: unknown, doing: string): asserts value is Uint8Array | Float32Array {
  if (value instanceof Uint8Array || value instanceof Float32Array) return
  const expected = 'expected a Uint8Array (a message) or a Float32Array (a vector)'
  throw new FedloraError('E_ARGUMENT', `${doing}: got ${describeValue(value)}, ${expected}`)
}

function checkWeight(weight: unknown, doing: string): asserts weight is number {
  if (!(typeof weight === 'number' && Number.isFinite(weight) && weight > 0)) {
    throw new FedloraError('E_ARGUMENT', `${doing}: the weight is ${describeValue(weight)}, expected a number above 0`)
  }
}

/** A weighted mean of updates in one pass: no dense copy per message, and the order changes no bit. */
export class Aggregator {
  readonly #handle: Handle<NativeAggregator>

  /** @internal Use `createAggregator`. */
  constructor(length: number, threads?: number) {
    this.#handle = new Handle('the aggregator', native().createAggregator(length, threads))
  }

  /** Values in a vector. */
  get length(): number {
    return this.#handle.use('length').length
  }

  /** Updates added. */
  get count(): number {
    return this.#handle.use('count').count
  }

  /** Sum of their weights. */
  get totalWeight(): number {
    return this.#handle.use('totalWeight').totalWeight
  }

  /**
   * Adds an encoded update, or a vector as it is, with a weight above 0; a refused one leaves the sum as it was. A vector adds the very
   * bits that its `f32` message would.
   * @throws FedloraError `E_FORMAT`, `E_CHECKSUM`, `E_VERSION`, `E_NONFINITE`, `E_SHAPE`, `E_ARGUMENT`, `E_DISPOSED`.
   */
  add(update: Uint8Array | Float32Array, weight = 1): void {
    checkUpdate(update, 'add')
    checkWeight(weight, 'add')
    this.#handle.use('add').add(update, weight)
  }

  /**
   * Adds messages and vectors that are at hand together: the same sum, all of them or, after a refusal, none. Each stretch of the sum
   * takes all of them while it is in the cache, so that eight at once cost about half of eight calls of `add`.
   * @throws FedloraError as `add` does.
   */
  addAll(messages: Iterable<WeightedMessage | WeightedVector>): void {
    const updates: (Uint8Array | Float32Array)[] = []
    const weights: number[] = []
    for (const message of messages) {
      const { vector, bytes } = (message ?? {}) as Partial<WeightedMessage & WeightedVector>
      const update = vector ?? bytes
      const weight = message?.weight ?? 1
      checkUpdate(update, 'addAll')
      checkWeight(weight, 'addAll')
      updates.push(update)
      weights.push(weight)
    }
    this.#handle.use('addAll').addAll(updates, weights)
  }

  /**
   * The weighted mean of what was added: `into`, or a new array.
   * @throws FedloraError `E_ARGUMENT` when nothing was, `E_SHAPE` when `into` has another length, `E_DISPOSED`.
   */
  mean(options: MeanOptions = {}): Float32Array {
    const { into } = parseOptions(meanSchema, options, 'mean options')
    return this.#handle.use('mean').mean(into)
  }

  /**
   * The exact sums of what was added, as bytes: 8 a value where updates are of ordinary range. An aggregator on another machine that merges them
   * has the very sum that it would have had from the updates themselves, whatever the order and however many merge with one another.
   * @throws FedloraError `E_MEMORY`, `E_DISPOSED`.
   */
  partial(): Uint8Array {
    return this.#handle.use('partial').partial()
  }

  /**
   * Adds what `partial()` of another aggregator gave; refused bytes leave the sum as it was.
   * @throws FedloraError `E_FORMAT`, `E_CHECKSUM`, `E_VERSION`, `E_SHAPE`, `E_ARGUMENT`, `E_MEMORY`, `E_DISPOSED`.
   * @example
   * ```ts
   * const [here, there] = [createAggregator(4), createAggregator(4)]
   * here.add(new Float32Array([1, 2, 3, 4]), 10)
   * there.add(new Float32Array([5, 6, 7, 8]), 30)
   * here.merge(there.partial())
   * console.log(here.mean()) // 4, 5, 6, 7
   * ```
   */
  merge(partial: Uint8Array): void {
    if (!(partial instanceof Uint8Array)) {
      throw new FedloraError(
        'E_ARGUMENT',
        `merge: got ${describeValue(partial)}, expected a Uint8Array that partial() gave`,
      )
    }
    this.#handle.use('merge').merge(partial)
  }

  /** Empties the sum. */
  reset(): void {
    this.#handle.use('reset').reset()
  }

  /** Idempotent. */
  dispose(): void {
    this.#handle.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

/**
 * An empty aggregator of vectors of `length` values.
 * @throws FedloraError `E_ARGUMENT`, `E_CONFIG`.
 * @example
 * ```ts
 * const sum = createAggregator(3)
 * sum.add(encodeUpdate(Float32Array.of(1, 2, 3), { codec: 'f32' }).bytes, 1)
 * sum.add(encodeUpdate(Float32Array.of(5, 6, 7), { codec: 'f32' }).bytes, 3)
 * const mean = sum.mean() // (1 × first + 3 × second) / 4
 * ```
 */
export function createAggregator(length: number, options: ThreadOptions = {}): Aggregator {
  if (!Number.isSafeInteger(length) || length < 1) {
    throw new FedloraError(
      'E_ARGUMENT',
      `createAggregator: got ${describeValue(length)}, expected a whole number of at least 1`,
    )
  }
  return new Aggregator(length, parseOptions(threadsSchema, options, 'aggregator options').threads)
}
