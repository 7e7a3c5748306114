/**
 * FedEx-LoRA: FedIT's means, and what they miss as a residual beside them. Exact; the residual has the rank (K − 1)·r:
 * since Σ p_k (B′_k − B) = 0, it is s_g Σ_{k<K} p_k (B′_k − B)(A_k − A_K).
 *
 * Source: Singhal et al. 2025, "FedEx-LoRA: exact aggregation for federated and efficient fine-tuning of large language models", equation 7
 * (equal weights there). Clients of smaller ranks are padded with zeros.
 */
import { factorError, meanA, meanB, meanFactors, stackTerms } from '../algebra.js'
import { noOptions } from '../options.js'
import type { FactorRule, ModuleUpdates, Server } from '../rule.js'

function residualOf(module: ModuleUpdates, weights: readonly number[], server: Server) {
  const { rank, scaling } = server
  const { clients } = module
  const last = clients.length - 1
  const terms = clients.slice(0, last).map((_, k) => ({
    A: meanA(
      module,
      rank,
      clients.map((_, j) => Number(j === k) - Number(j === last)),
    ),
    B: meanB(
      module,
      rank,
      clients.map((other, j) => (other.scaling / scaling) * (Number(j === k) - weights[j]!)),
    ),
    rank,
    scale: scaling * weights[k]!,
  }))
  return last === 0 ? undefined : stackTerms(module, terms)
}

export const fedex: FactorRule = {
  name: 'fedex',
  options: noOptions,
  combine(module, weights, server) {
    const factors = { ...meanFactors(module, weights, server), residual: residualOf(module, weights, server) }
    return { ...factors, error: factorError(module, weights, server, factors) }
  },
}
