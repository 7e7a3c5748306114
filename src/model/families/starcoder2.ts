/** StarCoder2: grouped heads with rotation and windows, LayerNorm, an MLP without gate. */
import type { ModelDescription } from '../../native/binding.js'
import type { Fields } from '../fields.js'
import { readRope } from '../rope.js'
import { readSizes } from './decoder.js'
import { describePlain, linear, plainMlp, readPlainActivation, separateProjections } from './plain.js'
import { windowOf } from './windows.js'

export function describeStarcoder2(config: Fields): ModelDescription {
  const sizes = readSizes(config, { kvHeads: 2 })
  const { hidden, heads, headDim } = sizes
  const bias = config.boolean('use_bias', true)
  const maxPositions = config.integer('max_position_embeddings', 4096)
  const window = windowOf(config, 0, () => true)
  const given = {
    family: 'starcoder2',
    maxPositions,
    normEpsilon: config.positive('norm_epsilon', 1e-5),
    activation: readPlainActivation(config, 'hidden_act', 'gelu_pytorch_tanh'),
    tiedHead: config.boolean('tie_word_embeddings', true),
    ropes: [readRope(config, { headDim, maxPositions })],
    names: { embedding: 'model.embed_tokens', finalNorm: 'model.norm', head: 'lm_head' },
  }
  return describePlain(config, sizes, given, (index) => {
    const at = `model.layers.${index}`
    return {
      norms: { beforeAttention: `${at}.input_layernorm`, beforeMlp: `${at}.post_attention_layernorm` },
      attention: {
        in: separateProjections(`${at}.self_attn`, sizes, bias),
        out: linear(`${at}.self_attn.o_proj`, hidden, heads * headDim, bias),
        rope: 0,
        window: window(index),
      },
      mlp: plainMlp(`${at}.mlp.c_fc`, `${at}.mlp.c_proj`, sizes, bias),
    }
  })
}
