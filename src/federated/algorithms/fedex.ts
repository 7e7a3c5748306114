/**
 * FedEx-LoRA: lora_A and lora_B are averaged as FedIT does, and what the product of the means misses joins a frozen residual beside the adapter,
 * of rank (K − 1)·r more each round, up to `maxResidualRank`. Exact until then. The residual travels down with the adapter.
 *
 * Source: Singhal et al. 2025, "FedEx-LoRA: exact aggregation for federated and efficient fine-tuning of large language models", equation 7
 * (there it is added to the base, which here stays quantised).
 */
import { fedex as rule } from '../../aggregation/factors/rules/fedex.js'
import type { Algorithm } from './algorithm.js'
import { byRule } from './factors.js'
import { trainBesideResidual } from './residual.js'

export const fedex: Algorithm = {
  ...byRule(rule),
  about: 'the means of the factors, and what they miss as a frozen residual: exact, the downlink grows',
  source:
    'Singhal et al. 2025, FedEx-LoRA: exact aggregation for federated and efficient fine-tuning of large language models',
  work: (kit) => trainBesideResidual(kit),
}
