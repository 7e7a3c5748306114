/** Sums of flat vectors: float32 in and out, each element computed in double and rounded once. */
import { FedloraError } from '../../errors.js'

/** Σ cᵢ·xᵢ, in a new array. @throws FedloraError `E_SHAPE` for vectors of different lengths. */
export function combination(coefficients: readonly number[], vectors: readonly Float32Array[]): Float32Array {
  const { length } = vectors[0]!
  for (const vector of vectors) {
    if (vector.length !== length) {
      throw new FedloraError('E_SHAPE', `a sum of vectors of ${length} and ${vector.length} values`)
    }
  }
  const sum = new Float32Array(length)
  for (let i = 0; i < length; i++) {
    let total = 0
    for (let k = 0; k < vectors.length; k++) total += coefficients[k]! * vectors[k]![i]!
    sum[i] = total
  }
  return sum
}

/** a − b. */
export const difference = (a: Float32Array, b: Float32Array): Float32Array => combination([1, -1], [a, b])

/** a + b. */
export const sum = (a: Float32Array, b: Float32Array): Float32Array => combination([1, 1], [a, b])
