/** Llama 2 and 3.x: grouped heads, rope scaling, optional attention and MLP biases. */
import type { ModelDescription } from '../../native/binding.js'
import type { Fields } from '../fields.js'
import { describeDecoder } from './decoder.js'

export function describeLlama(config: Fields): ModelDescription {
  const attentionBias = config.boolean('attention_bias', false)
  return describeDecoder(config, {
    family: 'llama',
    maxPositions: 2048,
    attentionBias,
    outputBias: attentionBias,
    mlpBias: config.boolean('mlp_bias', false),
  })
}
