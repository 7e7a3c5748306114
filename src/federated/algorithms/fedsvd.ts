/**
 * FedSVD: lora_B alone is trained and travels up, as in FFA-LoRA; every `period` rounds the server decomposes the product anew, B·A = U S Vᵀ:
 * A = Vᵀ, B = U S. The product stays, lora_A becomes orthonormal and follows what was learnt.
 *
 * Source: Lee et al. 2025, "FedSVD: adaptive orthogonalization for private federated learning with LoRA", algorithm 1.
 */
import { z } from 'zod'
import { fedsvd as rule } from '../../aggregation/factors/rules/fedsvd.js'
import { partOf } from '../protocol/space.js'
import type { Algorithm } from './algorithm.js'
import { stepByMeans } from './defaults.js'
import { factorsIn, placeFactors } from './factors.js'

const options = z.strictObject({
  period: z.int().min(1).default(1).describe('rounds between decompositions'),
})

export const fedsvd: Algorithm<z.output<typeof options>> = {
  name: rule.name,
  about:
    'as ffa, with lora_A made anew from the product every few rounds: exact, half the bytes up, for noise on lora_B',
  source: 'Lee et al. 2025, FedSVD: adaptive orthogonalization for private federated learning with LoRA',
  options,
  serverOptimizer: false,
  errorFeedback: false,
  travels: ({ space }) => ({ adapter: partOf(space, 'lora_B') }),
  finish(closing, { period }) {
    stepByMeans(closing)
    if (closing.round % period !== 0) return
    const adapter = closing.state.vectors.adapter!
    for (const module of closing.space.modules) {
      const mean = { ...module, clients: [factorsIn(adapter, module)] }
      placeFactors(adapter, module, rule.combine(mean, [1], module, {}, undefined))
    }
  },
}
