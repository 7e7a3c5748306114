/** Qwen3: rms norm of each query and key head, head_dim independent of hidden/heads, optional attention biases. */
import type { ModelDescription } from '../../native/binding.js'
import type { Fields } from '../fields.js'
import { attentionBiases, describeDecoder } from './decoder.js'
import { qwenWindow } from './windows.js'

export function describeQwen3(config: Fields): ModelDescription {
  return describeDecoder(config, {
    family: 'qwen3',
    kvHeads: 32,
    headDim: 128,
    maxPositions: 32768,
    ...attentionBiases(config),
    queryKeyNorm: 'head',
    window: qwenWindow(config),
  })
}
