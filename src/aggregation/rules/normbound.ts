/**
 * value = Σ w_k·min(1, C / ‖x_k‖)·x_k / Σ w_k
 *
 * Source: Sun et al. 2019, "Can you really backdoor federated learning?", section 3.
 */
import { z } from 'zod'
import type { WholeRule } from '../rule.js'
import { squaredNorms, weightedSum } from '../tiles.js'

const options = z.strictObject({ bound: z.number().positive().describe('C: norm that no update exceeds') })

export const normbound: WholeRule<z.output<typeof options>> = {
  name: 'normbound',
  about: 'the weighted mean of updates that are scaled down to a norm',
  source: 'Sun et al. 2019, "Can you really backdoor federated learning?"',
  needs: 'all',
  options,
  combine(updates, weights, into, { bound }) {
    const norms = squaredNorms(updates, into).map(Math.sqrt)
    const coefficients = weights.map((weight, k) => (norms[k]! > bound ? (weight * bound) / norms[k]! : weight))
    weightedSum(
      updates,
      coefficients,
      weights.reduce((sum, weight) => sum + weight, 0),
      into,
    )
    return {}
  },
}
