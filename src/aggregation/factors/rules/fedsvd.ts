/**
 * FedSVD: B = Σ p_k B′_k over the A that was sent, as FFA-LoRA, then the product is decomposed anew, B·A = U S Vᵀ: A = Vᵀ, B = U S. The
 * product stays, A·Aᵀ = I.
 *
 * Source: Lee et al. 2025, "FedSVD: adaptive orthogonalization for private federated learning with LoRA", algorithm 1.
 */
import { factorError, nearestFactors, singularValues } from '../algebra.js'
import { noOptions } from '../options.js'
import type { FactorRule } from '../rule.js'
import { ffa } from './ffa.js'

export const fedsvd: FactorRule = {
  name: 'fedsvd',
  options: noOptions,
  shared: () => 'A',
  combine(module, weights, server) {
    const mean = ffa.combine(module, weights, server, {}, undefined)
    const terms = [{ A: mean.A, B: mean.B, rank: mean.rank, scale: 1 }]
    const { A, B, rank } = nearestFactors(module, terms, server.rank)
    const factors = { A, B, rank }
    return {
      ...factors,
      singularValues: () => singularValues(module, terms),
      error: factorError(module, weights, server, factors),
    }
  },
}
