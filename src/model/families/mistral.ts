/** Mistral: Llama's shape, no biases, a sliding window. */
import type { ModelDescription } from '../../native/binding.js'
import type { Fields } from '../fields.js'
import { describeDecoder, mistralWindow } from './decoder.js'

export function describeMistral(config: Fields): ModelDescription {
  return describeDecoder(config, {
    family: 'mistral',
    kvHeads: 8,
    maxPositions: 131072,
    attentionBias: false,
    outputBias: false,
    mlpBias: false,
    queryKeyNorm: false,
    window: mistralWindow(config),
  })
}
