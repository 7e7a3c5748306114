/** GPT-NeoX and Pythia: q, k and v in one matrix head by head, both halves at once, a quarter of each head turns. */
import type { ModelDescription } from '../../native/binding.js'
import type { Fields } from '../fields.js'
import { readRope } from '../rope.js'
import { readSizes } from './decoder.js'
import { describePlain, linear, plainMlp, readPlainActivation } from './plain.js'

export function describeGPTNeoX(config: Fields): ModelDescription {
  const sizes = readSizes(config, {})
  const { hidden, heads, kvHeads, headDim } = sizes
  if (kvHeads !== heads || headDim * heads !== hidden)
    config.fail('num_attention_heads', 'as many key-value heads, that make up hidden_size')
  const bias = config.boolean('attention_bias', true)
  const maxPositions = config.integer('max_position_embeddings', 2048)
  const partialDefault = config.positive('rotary_pct', 0.25)
  const given = {
    family: 'gpt_neox',
    maxPositions,
    normEpsilon: config.positive('layer_norm_eps', 1e-5),
    activation: readPlainActivation(config, 'hidden_act', 'gelu'),
    parallel: config.boolean('use_parallel_residual', true),
    ropes: [
      readRope(config, {
        headDim,
        maxPositions,
        partial: true,
        partialDefault,
        theta: config.positive('rotary_emb_base', 10000),
      }),
    ],
    names: { embedding: 'gpt_neox.embed_in', finalNorm: 'gpt_neox.final_layer_norm', head: 'embed_out' },
  }
  return describePlain(config, sizes, given, (index) => {
    const at = `gpt_neox.layers.${index}`
    return {
      norms: { beforeAttention: `${at}.input_layernorm`, beforeMlp: `${at}.post_attention_layernorm` },
      attention: {
        byHead: true,
        in: [linear(`${at}.attention.query_key_value`, 3 * hidden, hidden, bias)],
        out: linear(`${at}.attention.dense`, hidden, hidden, bias),
        rope: 0,
        window: 0,
      },
      mlp: plainMlp(`${at}.mlp.dense_h_to_4h`, `${at}.mlp.dense_4h_to_h`, sizes, true),
    }
  })
}
