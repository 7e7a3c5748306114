/**
 * Zero padding: factors of smaller ranks are padded with zeros to the server's, then averaged as FedIT does; client k gets the leading r_k.
 *
 * Source: Cho et al. 2024, "Heterogeneous LoRA for federated fine-tuning of on-device foundation models", the baseline of section 3.
 */
import { noOptions } from '../options.js'
import type { FactorRule } from '../rule.js'
import { fedit } from './fedit.js'

export const zeropad: FactorRule = {
  name: 'zeropad',
  options: noOptions,
  combine: (module, weights, server, options) => fedit.combine(module, weights, server, options, undefined),
}
