/** Phi-1, 1.5 and 2: both halves read one norm at once, a part of each head turns, the head has a bias. */
import type { ModelDescription } from '../../native/binding.js'
import type { Fields } from '../fields.js'
import { readRope } from '../rope.js'
import { readSizes } from './decoder.js'
import { describePlain, linear, plainMlp, readPlainActivation, separateProjections } from './plain.js'

export function describePhi(config: Fields): ModelDescription {
  const sizes = readSizes(config, {})
  const { hidden, heads, headDim } = sizes
  if (config.boolean('qk_layernorm', false)) config.fail('qk_layernorm', 'false')
  const maxPositions = config.integer('max_position_embeddings', 2048)
  const given = {
    family: 'phi',
    maxPositions,
    normEpsilon: config.positive('layer_norm_eps', 1e-5),
    activation: readPlainActivation(config, 'hidden_act', 'gelu_new'),
    parallel: true,
    headBias: true,
    ropes: [readRope(config, { headDim, maxPositions, partial: true, partialDefault: 0.5 })],
    names: { embedding: 'model.embed_tokens', finalNorm: 'model.final_layernorm', head: 'lm_head' },
  }
  return describePlain(config, sizes, given, (index) => {
    const at = `model.layers.${index}`
    return {
      norms: { beforeAttention: `${at}.input_layernorm` },
      attention: {
        in: separateProjections(`${at}.self_attn`, sizes, true),
        out: linear(`${at}.self_attn.dense`, hidden, heads * headDim, true),
        rope: 0,
        window: 0,
      },
      mlp: plainMlp(`${at}.mlp.fc1`, `${at}.mlp.fc2`, sizes, true),
    }
  })
}
