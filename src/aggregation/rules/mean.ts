/**
 * value = Σ w_k·x_k / Σ w_k
 *
 * Source: McMahan et al. 2017, "Communication-efficient learning of deep networks from decentralized data" (FederatedAveraging).
 */
import { z } from 'zod'
import type { StreamRule } from '../rule.js'

export const mean: StreamRule = {
  name: 'mean',
  about: 'the weighted mean',
  source: 'McMahan et al. 2017, "Communication-efficient learning of deep networks from decentralized data"',
  needs: 'stream',
  options: z.strictObject({}),
  weigh: (given) => given,
}
