/** Several long vectors beside one another: mirror of `native/napi/order.cpp`. All vectors of a call have one type and length. */
import type { Vector } from './vectors.js'

export interface NativeOrder {
  /** [n, n], row-major: Σ (xᵢ − xⱼ)², in double over fixed blocks. */
  squaredDistances(vectors: readonly Vector[]): Float64Array
  /** [n, n], row-major: Σ (xᵢ − c)·(xⱼ − c), likewise; without a centre c = 0. */
  innerProducts(vectors: readonly Vector[], centre?: Vector): Float64Array
  /** Each element of `into`: the mean of that element's values, sorted, from `begin` to `end`. */
  meanBetween(vectors: readonly Vector[], begin: number, end: number, into: Vector): void
  /** Each element of `into`: the mean of the `keep` values nearest to their median; of two as near, the vector that comes first. */
  meanNearMedian(vectors: readonly Vector[], keep: number, into: Vector): void
  /** The first place that holds NaN or an infinity; −1 when none does. */
  firstNonfinite(vector: Vector): number
}
