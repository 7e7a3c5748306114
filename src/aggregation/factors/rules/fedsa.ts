/**
 * FedSA-LoRA: A = Σ p_k A_k is shared, every client keeps its B: client k has s_k B_k A. The server's pair is their mean, B = Σ p_k B′_k.
 *
 * Source: Guo et al. 2025, "Selective aggregation for low-rank adaptation in federated learning".
 */
import { factorError, meanFactors, scaledB } from '../algebra.js'
import { noOptions } from '../options.js'
import type { FactorRule } from '../rule.js'

export const fedsa: FactorRule = {
  name: 'fedsa',
  options: noOptions,
  combine(module, weights, server) {
    const mean = meanFactors(module, weights, server)
    return {
      ...mean,
      view(client) {
        const { B, rank, scaling } = module.clients[client]!
        return { A: mean.A.subarray(0, rank * module.in), B: scaledB(B, module.out, scaling / server.scaling), rank }
      },
      error: factorError(module, weights, server, mean),
    }
  },
}
