/** OLMo 2 and 3: norms after each half alone, norms of the whole query and key projections; OLMo 3 windows on three layers of four. */
import type { ModelDescription } from '../../native/binding.js'
import type { Fields } from '../fields.js'
import { readRope, ropeFieldsByLayer } from '../rope.js'
import { describeDecoder, type Traits } from './decoder.js'
import { windowOf } from './windows.js'

function common(config: Fields): Omit<Traits, 'family'> {
  const attentionBias = config.boolean('attention_bias', false)
  return {
    maxPositions: 2048,
    epsilon: 1e-5,
    attentionBias,
    outputBias: attentionBias,
    queryKeyNorm: 'projection',
    norms: { afterAttention: 'post_attention_layernorm', afterMlp: 'post_feedforward_layernorm' },
  }
}

export function describeOlmo2(config: Fields): ModelDescription {
  return describeDecoder(config, { ...common(config), family: 'olmo2' })
}

export function describeOlmo3(config: Fields): ModelDescription {
  const window = windowOf(config, 4096, (index) => (index + 1) % 4 !== 0)
  return describeDecoder(config, {
    ...common(config),
    family: 'olmo3',
    window,
    ropes: (headDim, maxPositions) => {
      const theta = { full: 5e5, sliding: 5e5, slidingName: 'rope_theta' }
      const { full, sliding } = ropeFieldsByLayer(config, theta)
      return [full, sliding].map((fields) => readRope(config, { headDim, maxPositions, fields }))
    },
    rope: (index) => (window(index) > 0 ? 1 : 0),
  })
}
