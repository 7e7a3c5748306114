/** Qwen2 and 2.5: biases on q, k and v; windows on the upper layers when asked for. */
import type { ModelDescription } from '../../native/binding.js'
import type { Fields } from '../fields.js'
import { describeDecoder } from './decoder.js'
import { qwenWindow } from './windows.js'

export function describeQwen2(config: Fields): ModelDescription {
  return describeDecoder(config, {
    family: 'qwen2',
    kvHeads: 32,
    maxPositions: 32768,
    attentionBias: true,
    window: qwenWindow(config),
  })
}
