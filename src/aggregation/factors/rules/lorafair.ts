/**
 * LoRA-FAIR: A = Σ p_k A_k and a corrected B = Σ p_k B′_k + D that brings the product nearer to the ideal.
 *
 *   cosine   D minimises 1 − cos(ideal, (B + D)A) + λ‖D‖         the paper's objective
 *   ridge    D minimises ‖ideal/s_g − (B + D)A‖² + λ‖D‖²         in closed form
 *
 * With G = AAᵀ = Q Λ Qᵀ, P = ideal·Aᵀ and w = (B + D)A, both have D·(τI + κG) = αP − κBG, so in the basis Q
 * D_j = (α P_j − κ λ_j B_j)/(τ + κ λ_j), column by column. Ridge: α = 1/s_g, κ = 1, τ = λ. Cosine: α = 1/(‖w‖‖ideal‖), κ = cos/‖w‖²,
 * τ = λ/‖D‖ of the D at hand, iterated from the ridge solution; every step lowers the objective. ‖D‖ has a kink at D = 0, which is taken
 * when it is lower.
 *
 * Source: Bian et al. 2025, "LoRA-FAIR: federated LoRA fine-tuning with aggregation and initialization refinement", equation 7. Clients of
 * smaller ranks are padded with zeros.
 */
import { z } from 'zod'
import {
  denseProduct,
  factorError,
  idealTerms,
  meanFactors,
  multiply,
  nearestFactors,
  productNorm,
  singularValues,
  stackTerms,
  type WideFactors,
} from '../algebra.js'
import type { FactorRule, ModuleUpdates } from '../rule.js'

const options = z.strictObject({
  objective: z.enum(['ridge', 'cosine']).default('ridge').describe('what D minimises'),
  lambda: z.number().min(0).default(0.01).describe('λ: weight of the size of D'),
})

const mostSteps = 5000

/** D in the basis Q: column j is p[j]·P_j + b[j]·B_j. */
interface Correction {
  p: Float64Array
  b: Float64Array
}

/** Λ, and of the columns of P and B in the basis Q ‖P_j‖², P_j·B_j, ‖B_j‖². */
interface Columns {
  values: Float64Array
  pp: Float64Array
  pb: Float64Array
  bb: Float64Array
}

function correction({ values }: Columns, alpha: number, kappa: number, tau: number): Correction {
  const divided = (x: number, j: number) => (tau + kappa * values[j]! > 0 ? x / (tau + kappa * values[j]!) : 0)
  return { p: values.map((_, j) => divided(alpha, j)), b: values.map((value, j) => divided(-kappa * value, j)) }
}

/** ‖w‖, cos(ideal, w), ‖D‖ and the objective. */
function judge({ values, pp, pb, bb }: Columns, { p, b }: Correction, ideal: number, lambda: number) {
  let [w2, along, d2] = [0, 0, 0]
  for (let j = 0; j < values.length; j++) {
    const whole = 1 + b[j]!
    w2 += values[j]! * (p[j]! ** 2 * pp[j]! + 2 * p[j]! * whole * pb[j]! + whole ** 2 * bb[j]!)
    along += p[j]! * pp[j]! + whole * pb[j]!
    d2 += p[j]! ** 2 * pp[j]! + 2 * p[j]! * b[j]! * pb[j]! + b[j]! ** 2 * bb[j]!
  }
  const [w, d] = [Math.sqrt(Math.max(w2, 0)), Math.sqrt(Math.max(d2, 0))]
  const cosine = w > 0 ? along / (w * ideal) : 0
  return { w, cosine, d, objective: 1 - cosine + lambda * d }
}

function leastCosine(columns: Columns, start: Correction, ideal: number, lambda: number): Correction {
  const none = { p: start.p.map(() => 0), b: start.b.map(() => 0) }
  if (ideal === 0) return none
  let best = start
  let now = judge(columns, best, ideal, lambda)
  for (let step = 0; step < mostSteps && now.d > 0 && now.w > 0; step++) {
    const next = correction(columns, 1 / (now.w * ideal), now.cosine / now.w ** 2, lambda / now.d)
    const then = judge(columns, next, ideal, lambda)
    if (!(then.objective < now.objective - 1e-14)) break
    best = next
    now = then
  }
  return judge(columns, none, ideal, lambda).objective <= now.objective ? none : best
}

/** P and B in the basis Q, [out, rank] each, with Qᵀ as rows. */
function inBasis(module: ModuleUpdates, weights: readonly number[], { A, B, rank }: WideFactors) {
  const stacked = stackTerms(module, idealTerms(module, weights))
  const along = multiply(stacked.A, A, [stacked.rank, module.in, rank], 'b')
  const P = multiply(stacked.B, along, [module.out, stacked.rank, rank])
  const gram = multiply(A, A, [rank, module.in, rank], 'b')
  const one = Float64Array.from({ length: rank * rank }, (_, i) => Number(i % (rank + 1) === 0))
  const square = { out: rank, in: rank }
  const terms = [{ A: gram, B: one, rank, scale: 1 }]
  const { A: turn } = nearestFactors(square, terms, rank)
  const turned = (x: Float64Array) => multiply(x, turn, [module.out, rank, rank], 'b')
  return { P: turned(P), B: turned(B), turn, values: singularValues(square, terms) }
}

export const lorafair: FactorRule<z.output<typeof options>> = {
  name: 'lorafair',
  options,
  combine(module, weights, server, { objective, lambda }) {
    const mean = meanFactors(module, weights, server)
    const { rank } = mean
    const { P, B, turn, values } = inBasis(module, weights, mean)
    const products = (x: Float64Array, y: Float64Array) => {
      const all = multiply(x, y, [rank, module.out, rank], 'a')
      return values.map((_, j) => all[j * rank + j]!)
    }
    const columns = { values, pp: products(P, P), pb: products(P, B), bb: products(B, B) }
    let found = correction(columns, 1 / server.scaling, 1, lambda)
    if (objective === 'cosine') {
      found = leastCosine(columns, found, productNorm(module, idealTerms(module, weights)), lambda)
    }
    const term = { A: turn, rank, scale: 1 }
    const corrected = denseProduct({ out: module.out, in: rank }, [
      { ...term, B: P, weights: found.p },
      { ...term, B, weights: found.b.map((share) => 1 + share) },
    ])
    const factors = { A: mean.A, B: corrected, rank }
    return { ...factors, error: factorError(module, weights, server, factors) }
  },
}
