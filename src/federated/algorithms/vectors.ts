/** Sums of flat vectors, as algorithms write them: float32 in and out, each element computed in double and rounded once. */
import { linearCombination } from '../../aggregation/vectors.js'

/** a − b, in a new array. @throws FedloraError `E_SHAPE` for vectors of different lengths. */
export const difference = (a: Float32Array, b: Float32Array): Float32Array => linearCombination([1, -1], [a, b])

/** a + b, likewise. */
export const sum = (a: Float32Array, b: Float32Array): Float32Array => linearCombination([1, 1], [a, b])

/** Σ cᵢ·xᵢ, in a new array or in `into`, which may be one of the vectors. */
export const combination: (
  coefficients: readonly number[],
  vectors: readonly Float32Array[],
  into?: Float32Array,
) => Float32Array = linearCombination

/** Every vector by a factor; the very vectors where it is 1. */
export const scaled = (vectors: Readonly<Record<string, Float32Array>>, factor: number) =>
  factor === 1
    ? vectors
    : Object.fromEntries(Object.entries(vectors).map(([name, vector]) => [name, linearCombination([factor], [vector])]))
