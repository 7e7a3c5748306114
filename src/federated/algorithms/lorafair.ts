/**
 * LoRA-FAIR: lora_A is averaged, and the mean of lora_B gets a correction that brings the product nearer to Σ pₖ sₖ Bₖ Aₖ; clients begin from
 * both.
 *
 * Source: Bian et al. 2025, "LoRA-FAIR: federated LoRA fine-tuning with aggregation and initialization refinement", equation 7; objective 'ridge',
 * the default, is the same aim in closed form.
 */
import { lorafair as rule } from '../../aggregation/factors/rules/lorafair.js'
import type { Algorithm } from './algorithm.js'
import { byRule } from './factors.js'

export const lorafair: Algorithm<object> = {
  ...byRule(rule),
  about: 'the means of the factors, lora_B corrected towards the mean of the products',
  source: 'Bian et al. 2025, LoRA-FAIR: federated LoRA fine-tuning with aggregation and initialization refinement',
}
