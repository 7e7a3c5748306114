/**
 * FLoRA-NA: lora_A and lora_B are averaged with weights of their own, those that bring the product nearest to Σ pₖ sₖ Bₖ Aₖ: the bytes of
 * FedIT, a smaller error, no decomposition of large matrices.
 *
 * Source: "FLoRA-NA: nearly accurate aggregation for federated low-rank adaptation", ICLR 2026 submission 7n5eoDZdZ5.
 */
import { florana as rule } from '../../aggregation/factors/rules/florana.js'
import type { Algorithm } from './algorithm.js'
import { byRule } from './factors.js'

export const florana: Algorithm<object> = {
  ...byRule(rule),
  about: 'the means of the factors by the weights that bring their product nearest to the mean of the products',
  source: 'FLoRA-NA: nearly accurate aggregation for federated low-rank adaptation, ICLR 2026 submission',
}
