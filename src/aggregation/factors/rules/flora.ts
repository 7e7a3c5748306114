/**
 * FLoRA: the factors stacked, A = [p_k (s_k/s_g) A_k] and B = [B_k]. Exact, of rank Σ r_k; every client gets all of it.
 *
 * Source: Wang et al. 2024, "FLoRA: federated fine-tuning large language models with heterogeneous low-rank adaptations", equations 4 and 5.
 */
import { factorError, foldedShares, stackTerms } from '../algebra.js'
import { noOptions } from '../options.js'
import type { FactorRule } from '../rule.js'

export const flora: FactorRule = {
  name: 'flora',
  options: noOptions,
  combine(module, weights, server) {
    const shares = foldedShares(module.clients, weights, server)
    const stacked = stackTerms(
      module,
      module.clients.map(({ A, B, rank }, k) => ({ A, B, rank, scale: shares[k]! })),
    )
    return { ...stacked, view: () => stacked, error: factorError(module, weights, server, stacked) }
  },
}
