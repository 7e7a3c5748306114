/**
 * x ← x + Σ pₖ (yₖ − x), yₖ: the adapter of client k after its own steps, pₖ: its share of the rows.
 *
 * On LoRA's factors this is FedIT: A and B are averaged separately, and B̄·Ā is not the mean of the products (`aggregationError`). With
 * `padding: 'zero'` clients may have ranks of their own: their factors are padded with zeros to the server's rank, x ← Σ pₖ yₖ, and a client of
 * rank r begins from the r leading ranks.
 *
 * Source: McMahan et al. 2017, "Communication-efficient learning of deep networks from decentralized data", algorithm 1; Zhang et al. 2024,
 * "Towards building the federated GPT: federated instruction tuning" (FedIT); Cho et al. 2024, "Heterogeneous LoRA for federated
 * fine-tuning of on-device foundation models" (zero padding, there the baseline).
 */
import { z } from 'zod'
import { zeropad } from '../../aggregation/factors/rules/zeropad.js'
import type { Algorithm } from './algorithm.js'
import { byRule } from './factors.js'

const options = z.strictObject({
  padding: z
    .enum(['none', 'zero'])
    .default('none')
    .describe('clients of smaller ranks: none refuses them, zero pads their factors with zeros'),
})
type Options = z.output<typeof options>

const plain: Algorithm<Options> = {
  name: 'fedavg',
  about: 'the mean of the clients’ updates; with a server optimiser FedAvgM, FedAdam, FedYogi, FedAdagrad',
  source: 'McMahan et al. 2017, Communication-efficient learning of deep networks from decentralized data',
  options,
}

const padded: Algorithm<Options> = {
  ...plain,
  ...byRule(zeropad),
  name: plain.name,
  options,
  finish: (closing) => byRule(zeropad).finish(closing, {}),
}

export const fedavg: Algorithm<Options> = {
  ...plain,
  variant: ({ padding }) => (padding === 'zero' ? padded : undefined),
}
