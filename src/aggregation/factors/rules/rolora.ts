/**
 * RoLoRA: rounds train and average one factor in turn while all hold the other, so each is exact. Part B: as FFA-LoRA.
 * Part A: A = Σ p_k (s_k/s_g) A_k over the B that was sent.
 *
 * Source: Chen et al. 2024, "Robust federated finetuning of LLMs via alternating optimization of LoRA", algorithm 1.
 */
import { z } from 'zod'
import { factorError, foldedShares, meanA } from '../algebra.js'
import type { FactorRule } from '../rule.js'
import { heldFactor } from '../shared.js'
import { ffa } from './ffa.js'

const options = z.strictObject({
  part: z.enum(['A', 'B']).default('B').describe('the factor that was trained in this round'),
})

export const rolora: FactorRule<z.output<typeof options>> = {
  name: 'rolora',
  options,
  shared: ({ part }) => (part === 'A' ? 'B' : 'A'),
  combine(module, weights, server, { part }) {
    if (part === 'B') return ffa.combine(module, weights, server, {}, undefined)
    const A = meanA(module, server.rank, foldedShares(module.clients, weights, server))
    const factors = { A, B: heldFactor(module, 'B'), rank: server.rank }
    return { ...factors, error: factorError(module, weights, server, factors) }
  },
}
