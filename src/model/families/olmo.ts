/** OLMo 2 and 3: norms after each half alone, norms of the whole query and key projections; OLMo 3 windows on three layers of four. */
import type { ModelDescription } from '../../native/binding.js'
import type { Fields } from '../fields.js'
import { attentionBiases, describeDecoder, type Traits } from './decoder.js'
import { windowOf, windowsWithRopes } from './windows.js'

function common(config: Fields): Omit<Traits, 'family'> {
  return {
    maxPositions: 2048,
    epsilon: 1e-5,
    ...attentionBiases(config),
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
    ...windowsWithRopes(config, window, { full: 5e5, sliding: 5e5, slidingName: 'rope_theta' }),
  })
}
