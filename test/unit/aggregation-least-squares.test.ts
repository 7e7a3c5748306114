/** Small normal equations: regular ones, and those whose matrix has directions of nothing. */
import t from 'tap'
import { solveSemidefinite } from '../../src/aggregation/factors/least-squares.js'

const times = (N: readonly number[], x: readonly number[]) =>
  x.map((_, i) => x.reduce((sum, value, j) => sum + N[i * x.length + j]! * value, 0))

function judge(t: Pick<typeof import('tap').t, 'ok' | 'equal'>, N: readonly number[], right: readonly number[]) {
  const x = solveSemidefinite(Float64Array.from(N), Float64Array.from(right))
  t.equal(x.length, right.length)
  const largest = Math.max(...right.map(Math.abs), 1)
  // A few roundings of numbers below 2⁷.
  for (const [i, value] of times(N, x).entries())
    t.ok(Math.abs(value - right[i]!) <= 1e-13 * largest, `${i}: ${value}, expected ${right[i]}`)
  return x
}

t.test('a regular matrix: the solution, whichever pivot is the largest', async (t) => {
  for (const order of [
    [0, 1, 2],
    [2, 0, 1],
    [1, 2, 0],
  ]) {
    const base = [
      [4, 2, 1],
      [2, 9, -3],
      [1, -3, 16],
    ]
    const N = order.flatMap((i) => order.map((j) => base[i]![j]!))
    const want = [1, -2, 0.5]
    const x = judge(t, N, times(N, want))
    for (const [i, value] of x.entries()) t.ok(Math.abs(value - want[i]!) <= 1e-14 * 16)
  }
})

t.test('a direction of nothing gets 0, wherever it stands', async (t) => {
  t.same(judge(t, [0, 0, 0, 2], [0, 4]), [0, 2])
  t.same(judge(t, [2, 0, 0, 0], [4, 0]), [2, 0])
  t.same(judge(t, [0, 0, 0, 0, 3, 0, 0, 0, 5], [0, 6, 5]), [0, 2, 1])
  t.same(judge(t, [0], [0]), [0])
  t.same(solveSemidefinite(new Float64Array(0), new Float64Array(0)), [])
})

t.test('rank one, and rank two of three: some solution', async (t) => {
  judge(t, [1, 2, 2, 4], [3, 6])
  judge(t, [4, 2, 2, 1], [6, 3])
  const [a, b] = [
    [1, 2, -1],
    [0, 1, 3],
  ]
  const N = a!.flatMap((_, i) => a!.map((_, j) => a![i]! * a![j]! + b![i]! * b![j]!))
  judge(t, N, times(N, [1, 1, 1]))
})

t.test('canary: another right side is another solution', async (t) => {
  const x = solveSemidefinite(Float64Array.from([2, 0, 0, 4]), Float64Array.from([2, 4]))
  t.same(x, [1, 1])
  t.notSame(solveSemidefinite(Float64Array.from([2, 0, 0, 4]), Float64Array.from([2, 5])), x)
})
