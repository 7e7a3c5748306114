/** Small normal equations. */

/**
 * A solution x of N·x = right for a symmetric positive semidefinite N [n, n] whose range holds `right`, by Cholesky with diagonal pivots:
 * directions whose pivot is rounding (n·eps of the largest) get 0.
 */
export function solveSemidefinite(N: Float64Array, right: Float64Array): number[] {
  const n = right.length
  const rest = N.slice()
  const residual = right.slice()
  const least = n * Number.EPSILON * Math.max(...right.map((_, i) => N[i * n + i]!))
  const rows: { pivot: number; row: Float64Array; value: number }[] = []
  const open = new Set(right.keys())
  while (open.size > 0) {
    const pivot = [...open].reduce((best, i) => (rest[i * n + i]! > rest[best * n + best]! ? i : best))
    const head = rest[pivot * n + pivot]!
    if (!(head > least)) break
    open.delete(pivot)
    const row = rest.slice(pivot * n, pivot * n + n)
    const value = residual[pivot]!
    rows.push({ pivot, row, value })
    for (const i of open) {
      const factor = row[i]! / head
      for (const j of open) rest[i * n + j]! -= factor * row[j]!
      residual[i]! -= factor * value
    }
  }
  const x = Array<number>(n).fill(0)
  for (const [step, { pivot, row, value }] of [...rows.entries()].reverse()) {
    let sum = value
    for (const later of rows.slice(step + 1)) sum -= row[later.pivot]! * x[later.pivot]!
    x[pivot] = sum / row[pivot]!
  }
  return x
}
