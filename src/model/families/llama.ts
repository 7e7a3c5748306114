/** Llama 2 and 3.x: grouped heads, rope scaling, optional attention and MLP biases. */
import type { ModelDescription } from '../../native/binding.js'
import type { Fields } from '../fields.js'
import { attentionBiases, describeDecoder } from './decoder.js'

export function describeLlama(config: Fields): ModelDescription {
  return describeDecoder(config, {
    family: 'llama',
    maxPositions: 2048,
    ...attentionBiases(config),
    mlpBias: config.boolean('mlp_bias', false),
  })
}
