/**
 * raFLoRA: each single rank i is averaged over those who have it, Σ_{r_k > i} (p_k/P_i) s_k B_k[:, i] A_k[i] with P_i = Σ_{r_k > i} p_k, then
 * decomposed and cut as FlexLoRA does. With mixed ranks it does not aim at the ideal: small ranks do not water the upper ones down. One
 * that nobody has, as when its owners stayed away, is zero.
 *
 * Source: "raFLoRA: rank-partitioned aggregation for federated LoRA", arXiv 2602.13486v2, algorithm 1, equation 8.
 */
import { factorError, nearestFactors, scaledB, singularValues } from '../algebra.js'
import { noOptions } from '../options.js'
import type { FactorRule } from '../rule.js'

export const raflora: FactorRule = {
  name: 'raflora',
  options: noOptions,
  combine(module, weights, server) {
    const { clients } = module
    const owned = Array.from({ length: server.rank }, (_, i) =>
      clients.reduce((sum, { rank }, k) => sum + (rank > i ? weights[k]! : 0), 0),
    )
    const terms = clients.map(({ A, B, rank, scaling }, k) => ({
      ...{ A, B, rank, scale: scaling },
      weights: Float64Array.from({ length: rank }, (_, i) => (owned[i]! > 0 ? weights[k]! / owned[i]! : 0)),
    }))
    const { A, B, rank } = nearestFactors(module, terms, server.rank)
    const factors = { A, B: scaledB(B, module.out, 1 / server.scaling), rank }
    return {
      ...factors,
      singularValues: () => singularValues(module, terms),
      error: factorError(module, weights, server, factors),
    }
  },
}
