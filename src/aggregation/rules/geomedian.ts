/**
 * value = argmin_z Σ w_k·‖z − x_k‖, by the smoothed Weiszfeld iteration from the weighted mean:
 *
 *   z ← Σ b_k·x_k / Σ b_k      b_k = w_k / max(ν, ‖z − x_k‖)
 *
 * z = Σ a_k·x_k with Σ a_k = 1, so it is enough to iterate a: with G [n, n] the inner products of the updates about one of them,
 * ‖z − x_j‖² = (a − e_j)ᵀ·G·(a − e_j). The updates are read three times, whatever the number of iterations. The centre is the update with the
 * least median distance to the others: about an outlier the products of the rest would cancel.
 *
 * Source: Pillutla et al. 2022, "Robust aggregation for federated learning", algorithm 2.
 */
import { z } from 'zod'
import type { WholeRule } from '../rule.js'
import { innerProducts, squaredDistances, weightedSum } from '../tiles.js'

const options = z.strictObject({
  smoothing: z.number().positive().default(1e-6).describe('ν: distances below it count as it'),
  tolerance: z.number().min(0).default(1e-12).describe('ends where z moves by less than it times its median distance'),
  iterations: z.int().min(1).max(1_000_000).default(10_000).describe('at most'),
})

type Options = z.output<typeof options>

const medianOf = (values: ArrayLike<number>) => Float64Array.from(values).sort()[values.length >> 1]!

/** The update whose median distance to the others is least. */
function innermost(distances: Float64Array, n: number): number {
  const medians = Array.from({ length: n }, (_, i) => medianOf(distances.subarray(i * n, (i + 1) * n)))
  return medians.reduce((best, median, i) => (median < medians[best]! ? i : best), 0)
}

const sumOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0)

/** vᵀ·G·v, not below 0. */
function quadratic(gram: Float64Array, v: readonly number[]): number {
  let sum = 0
  for (const [i, a] of v.entries()) for (const [j, b] of v.entries()) sum += a * b * gram[i * v.length + j]!
  return Math.max(0, sum)
}

/** a of the fixed point. */
function weiszfeld(gram: Float64Array, weights: readonly number[], options: Options): number[] {
  const { smoothing, tolerance, iterations } = options
  const n = weights.length
  const normalized = (values: readonly number[]) => {
    const total = sumOf(values)
    return values.map((value) => value / total)
  }
  let a = normalized(weights)
  for (let iteration = 0; iteration < iterations; iteration++) {
    const products = a.map((_, i) => sumOf(a.map((value, j) => value * gram[i * n + j]!)))
    const square = sumOf(a.map((value, i) => value * products[i]!))
    const distances = a.map((_, j) => Math.sqrt(Math.max(0, square - 2 * products[j]! + gram[j * n + j]!)))
    const next = normalized(weights.map((weight, k) => weight / Math.max(smoothing, distances[k]!)))
    const moved = Math.sqrt(
      quadratic(
        gram,
        next.map((value, k) => value - a[k]!),
      ),
    )
    a = next
    if (moved <= tolerance * medianOf(distances)) break
  }
  return a
}

export const geomedian: WholeRule<Options> = {
  name: 'geomedian',
  about: 'the geometric median: the point with the least weighted sum of distances to all updates',
  source: 'Pillutla et al. 2022, "Robust aggregation for federated learning"',
  needs: 'all',
  options,
  combine(updates, weights, into, options) {
    const centre = innermost(squaredDistances(updates, into), updates.ids.length)
    const a = weiszfeld(innerProducts(updates, into, centre), weights, options)
    weightedSum(updates, a, 1, into)
    return {}
  },
}
