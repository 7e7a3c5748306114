/** Granite 3: Llama's shape with multipliers of embeddings, attention, residuals and logits. */
import type { ModelDescription } from '../../native/binding.js'
import type { Fields } from '../fields.js'
import { attentionBiases, describeDecoder } from './decoder.js'

export function describeGranite(config: Fields): ModelDescription {
  return describeDecoder(config, {
    family: 'granite',
    maxPositions: 2048,
    ...attentionBiases(config),
    mlpBias: config.boolean('mlp_bias', false),
    attentionScale: config.positive('attention_multiplier', 1),
    embeddingMultiplier: config.positive('embedding_multiplier', 1),
    residualMultiplier: config.positive('residual_multiplier', 1),
    logitsDivider: config.positive('logits_scaling', 1),
  })
}
