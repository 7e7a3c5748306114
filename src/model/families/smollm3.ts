/** SmolLM3: Llama's shape, every fourth layer without rotation; windows on those when asked for. */
import type { ModelDescription } from '../../native/binding.js'
import type { Fields } from '../fields.js'
import { readRope } from '../rope.js'
import { attentionBiases, describeDecoder, layerCount } from './decoder.js'
import { windowOf } from './windows.js'

export function describeSmolLM3(config: Fields): ModelDescription {
  const interval = config.integer('no_rope_layer_interval', 4)
  const layers = layerCount(config)
  const listed = config.flags('no_rope_layers') // 1: the layer does turn
  if (listed !== undefined && listed.length !== layers)
    config.fail('no_rope_layers', `one entry for each of the ${layers} layers`)
  const turns = (index: number) => listed?.[index] ?? (index + 1) % interval !== 0
  const windows = windowOf(config, 0, (index) => !turns(index))
  const used = config.boolean('use_sliding_window', false)
  return describeDecoder(config, {
    family: 'smollm3',
    kvHeads: 4,
    maxPositions: 32768,
    tiedHead: true,
    ...attentionBiases(config),
    mlpBias: config.boolean('mlp_bias', false),
    window: used ? windows : () => 0,
    ropes: (headDim, maxPositions) => [readRope(config, { headDim, maxPositions, theta: 2e6 })],
    rope: (index) => (turns(index) ? 0 : -1),
  })
}
