/**
 * FlexLoRA: the best approximation of the ideal, by its singular value decomposition U S Vᵀ: A = Vᵀ, B = U S/s_g, cut at the server's rank,
 * for client k at r_k.
 *
 * Source: Bai et al. 2024, "Federated fine-tuning of large language models under heterogeneous tasks and client resources", section 3.
 * Error: Eckart and Young, ‖ideal − ΔW‖² = Σ of the squared singular values behind the rank.
 */
import { idealTerms, nearestFactors, scaledB, singularValues } from '../algebra.js'
import { noOptions } from '../options.js'
import type { FactorRule } from '../rule.js'

export const flexlora: FactorRule = {
  name: 'flexlora',
  options: noOptions,
  combine(module, weights, server) {
    const { rank } = server
    const ideal = idealTerms(module, weights)
    const { A, B, norm, rest } = nearestFactors(module, ideal, rank)
    return {
      A,
      B: scaledB(B, module.out, 1 / server.scaling),
      rank,
      singularValues: () => singularValues(module, ideal),
      error: { difference2: rest ** 2, ideal2: norm ** 2 },
    }
  },
}
