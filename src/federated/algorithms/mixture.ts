/** Mixtures of distributions: sums of probabilities by their logarithms, and whose row is whose. */

/** log Σ exp(values), for values of any size. */
export function logSumExp(values: readonly number[]): number {
  const most = Math.max(...values)
  if (most === Number.NEGATIVE_INFINITY) return most
  return most + Math.log(values.reduce((sum, value) => sum + Math.exp(value - most), 0))
}

export interface Responsibilities {
  /** q[m][i]: the share of component m in row i; over all m in sum 1. */
  q: Float64Array[]
  /** Their means over the rows: the mixture that the rows are of. */
  mixture: number[]
}

/**
 * The E-step: qᵢₘ = πₘ·exp(−lᵢₘ) / Σ πₘ′·exp(−lᵢₘ′).
 * @param losses - losses[m][i] of row i under component m, in nats: −log of its probability.
 * @param mixture - πₘ, in sum 1.
 */
export function responsibilities(losses: readonly Float64Array[], mixture: readonly number[]): Responsibilities {
  const q = losses.map((list) => new Float64Array(list.length))
  const rows = losses[0]!.length
  for (let i = 0; i < rows; i++) {
    const logs = losses.map((list, m) => Math.log(mixture[m]!) - list[i]!)
    const total = logSumExp(logs)
    for (const [m, log] of logs.entries()) q[m]![i] = Math.exp(log - total)
  }
  return { q, mixture: q.map((list) => list.reduce((sum, value) => sum + value, 0) / rows) }
}
