/** Mistral: Llama's shape, no biases, one sliding window for all layers (null: none). */
import type { ModelDescription } from '../../native/binding.js'
import type { Fields } from '../fields.js'
import { describeDecoder } from './decoder.js'

export function describeMistral(config: Fields): ModelDescription {
  const window = config.values.sliding_window === null ? 0 : config.integer('sliding_window', 4096)
  return describeDecoder(config, {
    family: 'mistral',
    kvHeads: 8,
    maxPositions: 131072,
    attentionBias: false,
    outputBias: false,
    mlpBias: false,
    queryKeyNorm: 'none',
    window: () => window,
  })
}
