/**
 * Long vectors without loops in JavaScript: sums, norms and products by the engine, in double, the same bits for any number of threads.
 * Lengths are checked here; what an operation writes is as it was when one is refused.
 */
import { describeValue } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import type { ServerStepRule, Vector } from '../native/binding.js'
import { native } from '../native/load.js'

export type { Vector } from '../native/binding.js'

/** Parts [begin, end) of a vector, ascending and apart. */
export type Ranges = readonly (readonly [begin: number, end: number])[]

/** Type and length of a vector. */
export type VectorType = Pick<Vector, 'length'> & { readonly constructor: { readonly name: string } }

/** A new vector of the type and length of `like`: zeros. */
export function zerosLike<V extends Vector>(like: VectorType): V {
  return new (like.constructor as new (length: number) => V)(like.length)
}

/** @throws FedloraError `E_ARGUMENT` unless it is a Float32Array or a Float64Array. */
export function checkVector(value: unknown, what: string): asserts value is Vector {
  if (value instanceof Float32Array || value instanceof Float64Array) return
  throw new FedloraError(
    'E_ARGUMENT',
    `${what}: got ${describeValue(value)}, expected a Float32Array or a Float64Array`,
  )
}

/** @throws FedloraError `E_ARGUMENT` for another type than that of `like`, `E_SHAPE` for another length. */
export function checkAlike(value: unknown, like: VectorType, what: string): asserts value is Vector {
  checkVector(value, what)
  if (value.constructor !== like.constructor) {
    const [got, expected] = [value.constructor.name, like.constructor.name]
    throw new FedloraError('E_ARGUMENT', `${what} is a ${got}, expected a ${expected} like the others`)
  }
  if (value.length === like.length) return
  const [got, expected] = [value.length, like.length]
  throw new FedloraError('E_SHAPE', `${what} has ${got} values, expected ${expected}`, { got, expected })
}

function flat(ranges: Ranges | undefined): Float64Array | undefined {
  return ranges && Float64Array.from(ranges.flat())
}

/**
 * Σ coefficient · vector, the terms added in the order given and the sum rounded once.
 * @param into - takes the result: a new vector by default, or one of `vectors`; it may not overlap one otherwise.
 * @param ranges - parts of `into` that are written; all others stay. Default: the whole.
 * @throws FedloraError `E_ARGUMENT` (no vector, not a coefficient a vector, ranges, overlap), `E_SHAPE`.
 */
export function linearCombination<V extends Vector>(
  coefficients: readonly number[],
  vectors: readonly V[],
  into?: V,
  ranges?: Ranges,
): V {
  return combination(coefficients, vectors, 1, into, ranges)
}

/** Σ coefficient · vector / divisor, as {@link linearCombination}. */
export function combination<V extends Vector>(
  coefficients: readonly number[],
  vectors: readonly V[],
  divisor: number,
  into?: V,
  ranges?: Ranges,
): V {
  if (vectors.length === 0 || coefficients.length !== vectors.length) {
    const got = `${coefficients.length} coefficients, ${vectors.length} vectors`
    throw new FedloraError('E_ARGUMENT', `linearCombination: got ${got}, expected as many of each and at least one`)
  }
  if (![...coefficients, divisor].every(Number.isFinite)) {
    throw new FedloraError('E_NONFINITE', `linearCombination: the coefficients are ${describeValue(coefficients)}`)
  }
  const first = vectors[0]!
  for (const [k, vector] of vectors.entries()) checkAlike(vector, first, `linearCombination: vector ${k}`)
  const result = into ?? zerosLike(first)
  checkAlike(result, first, 'linearCombination: into')
  native().linearCombination(Float64Array.from(coefficients), [...vectors], result, flat(ranges), divisor)
  return result
}

/**
 * Σ xᵢ·yᵢ, of the ranges or the whole.
 * @throws FedloraError `E_SHAPE`, `E_ARGUMENT` for ranges that do not ascend or end beyond the vectors.
 */
export function dot(x: Float32Array, y: Float32Array, ranges?: Ranges): number {
  checkAlike(y, x, 'dot: the second vector')
  return native().dot(x, y, flat(ranges))
}

/** √Σ xᵢ², of the ranges or the whole. */
export function norm(x: Float32Array, ranges?: Ranges): number {
  return Math.sqrt(native().dot(x, x, flat(ranges)))
}

/** Cosine of the angle between two vectors; 0 when one of them is 0. */
export function cosine(x: Float32Array, y: Float32Array): number {
  checkAlike(y, x, 'cosine: the second vector')
  return native().cosine(x, y)
}

/**
 * One step of a rule of the server, in place: of `vector` and of the moments that the rule keeps.
 * @throws FedloraError `E_SHAPE` for unequal lengths, `E_ARGUMENT` for vectors of different types or that share memory.
 */
export function serverStep<V extends Vector>(
  { name, rate, beta1, beta2, epsilon }: ServerStepRule,
  vector: V,
  mean: V,
  { moment1, moment2 }: { moment1: V; moment2: V },
): void {
  native().serverStep({ name, rate, beta1, beta2, epsilon }, vector, mean, moment1, moment2)
}
