/**
 * FFA-LoRA: A stays as it was sent, B = Σ p_k B′_k. Exact: Σ p_k s_k B_k A = s_g B A.
 *
 * Source: Sun et al. 2024, "Improving LoRA in privacy-preserving federated learning".
 */
import { factorError, foldedShares, meanB } from '../algebra.js'
import { noOptions } from '../options.js'
import type { FactorRule } from '../rule.js'
import { heldFactor } from '../shared.js'

export const ffa: FactorRule = {
  name: 'ffa',
  options: noOptions,
  shared: () => 'A',
  combine(module, weights, server) {
    const B = meanB(module, server.rank, foldedShares(module.clients, weights, server))
    const factors = { A: heldFactor(module, 'A'), B, rank: server.rank }
    return { ...factors, error: factorError(module, weights, server, factors) }
  },
}
