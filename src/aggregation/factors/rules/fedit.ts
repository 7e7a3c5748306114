/**
 * FedIT: A = Σ p_k A_k and B = Σ p_k B′_k, averaged each by itself. Biased: ideal − s_g B A = s_g Σ p_k (B′_k − B)(A_k − A).
 *
 * Source: Zhang et al. 2024, "Towards building the federated GPT: federated instruction tuning".
 */
import { factorError, meanFactors } from '../algebra.js'
import { noOptions } from '../options.js'
import type { FactorRule } from '../rule.js'

export const fedit: FactorRule = {
  name: 'fedit',
  options: noOptions,
  equalRanks: true,
  combine(module, weights, server) {
    const mean = meanFactors(module, weights, server)
    return { ...mean, error: factorError(module, weights, server, mean) }
  },
}
