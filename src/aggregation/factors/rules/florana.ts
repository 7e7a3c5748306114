/**
 * FLoRA-NA ("nearly accurate"): A = Σ a_k A_k and B = Σ b_k B′_k with the weights a, b that bring s_g B A nearest to the ideal in Frobenius'
 * norm: least squares in a, then in b, in turn from a = b = p, each exact, until they stand still; scaled to Σ a_k = 1.
 *
 * All that the fits need is the inner products of the clients' rows of A and of their columns of B.
 *
 * Source: "FLoRA-NA: nearly accurate aggregation for federated low-rank adaptation", ICLR 2026 submission 7n5eoDZdZ5 (the objective; how
 * it is solved is ours).
 */
import { z } from 'zod'
import { factorError, foldedShares, meanA, meanB, multiply, stackTerms } from '../algebra.js'
import { solveSemidefinite } from '../least-squares.js'
import type { FactorRule, ModuleUpdates, Server } from '../rule.js'

const options = z.strictObject({
  sweeps: z.int().min(1).default(1000).describe('most sweeps over a and b'),
  tolerance: z
    .number()
    .positive()
    .default(1e-9)
    .describe('change of the weights, relative to the largest, at which they stand still'),
})

/** Inner products of the ranks of all clients, [R, R] with R = Σ r_k; client k's begin at `first[k]`. */
interface Grams {
  A: Float64Array
  B: Float64Array
  first: number[]
  ranks: number[]
}

function gramsOf(module: ModuleUpdates, server: Server): Grams {
  const ranks = module.clients.map(({ rank }) => rank)
  const { A, B, rank } = stackTerms(
    module,
    module.clients.map(({ A, B, rank }) => ({ A, B, rank, scale: 1 })),
  )
  const scales = module.clients.flatMap(({ rank, scaling }) => Array(rank).fill(scaling / server.scaling) as number[])
  const gramB = multiply(B, B, [rank, module.out, rank], 'a')
  return {
    A: multiply(A, A, [rank, module.in, rank], 'b'),
    B: gramB.map((value, i) => value * scales[Math.floor(i / rank)]! * scales[i % rank]!),
    first: ranks.map((_, k) => ranks.slice(0, k).reduce((sum, r) => sum + r, 0)),
    ranks,
  }
}

/**
 * The weights x of the factors with inner products `own` that bring Σ_l x_l (their product with Σ_k y_k of the others) nearest to
 * Σ_j p_j (their product with the other of the same client).
 */
function fit(
  own: Float64Array,
  other: Float64Array,
  y: readonly number[],
  p: readonly number[],
  { first, ranks }: Grams,
) {
  const R = Math.sqrt(own.length)
  const most = Math.max(...ranks)
  // The sum of the others along each of theirs [most, R], then along itself [most, most].
  const along = new Float64Array(most * R)
  for (const [k, rank] of ranks.entries())
    for (let i = 0; i < rank; i++)
      for (let j = 0; j < R; j++) along[i * R + j]! += y[k]! * other[(first[k]! + i) * R + j]!
  const itself = new Float64Array(most * most)
  for (let i = 0; i < most; i++)
    for (const [k, rank] of ranks.entries())
      for (let j = 0; j < rank; j++) itself[i * most + j]! += y[k]! * along[i * R + first[k]! + j]!
  const count = ranks.length
  const normal = new Float64Array(count * count)
  const right = new Float64Array(count)
  for (let l = 0; l < count; l++)
    for (let n = 0; n < count; n++)
      for (let i = 0; i < ranks[l]!; i++)
        for (let j = 0; j < ranks[n]!; j++) {
          const inner = own[(first[l]! + i) * R + first[n]! + j]!
          normal[l * count + n]! += itself[i * most + j]! * inner
          right[l]! += p[n]! * along[i * R + first[n]! + j]! * inner
        }
  return solveSemidefinite(normal, right)
}

const change = (before: readonly number[], after: readonly number[]) =>
  Math.max(...after.map((value, k) => Math.abs(value - before[k]!))) /
  Math.max(...after.map(Math.abs), Number.MIN_VALUE)

export const florana: FactorRule<z.output<typeof options>> = {
  name: 'florana',
  options,
  combine(module, weights, server, { sweeps, tolerance }) {
    const grams = gramsOf(module, server)
    let a = [...weights]
    let b = a
    for (let sweep = 0; sweep < sweeps; sweep++) {
      const [beforeA, beforeB] = [a, b]
      a = fit(grams.A, grams.B, b, weights, grams)
      b = fit(grams.B, grams.A, a, weights, grams)
      if (change(beforeA, a) <= tolerance && change(beforeB, b) <= tolerance) break
    }
    const total = a.reduce((sum, value) => sum + value, 0) || 1
    const { rank } = server
    const A = meanA(
      module,
      rank,
      a.map((value) => value / total),
    )
    const B = meanB(
      module,
      rank,
      foldedShares(
        module.clients,
        b.map((value) => value * total),
        server,
      ),
    )
    return { A, B, rank, error: factorError(module, weights, server, { A, B, rank }) }
  },
}
