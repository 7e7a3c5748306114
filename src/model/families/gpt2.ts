/**
 * GPT-2: learned positions, q, k and v in one matrix. Linear layers are Conv1D, whose checkpoints hold [in, out]; causal masks of old ones
 * (`attn.bias`, `attn.masked_bias`) follow from the architecture.
 */
import type { ModelDescription } from '../../native/binding.js'
import type { Fields } from '../fields.js'
import { readSizes } from './decoder.js'
import { describePlain, linear, plainMlp, readPlainActivation } from './plain.js'

export function describeGPT2(given: Fields): ModelDescription {
  const hidden = given.integer('n_embd', 768)
  const config = given.with({
    hidden_size: hidden,
    num_attention_heads: given.integer('n_head', 12),
    num_hidden_layers: given.integer('n_layer', 12),
    intermediate_size: given.integer('n_inner', 4 * hidden),
    vocab_size: given.integer('vocab_size', 50257),
  })
  for (const field of ['add_cross_attention', 'scale_attn_by_inverse_layer_idx']) {
    if (config.boolean(field, false)) config.fail(field, 'false')
  }
  const sizes = readSizes(config, { rotated: false })
  const traits = {
    family: 'gpt2',
    maxPositions: config.integer('n_positions', 1024),
    normEpsilon: config.positive('layer_norm_epsilon', 1e-5),
    activation: readPlainActivation(config, 'activation_function', 'gelu_new'),
    ...(config.boolean('scale_attn_weights', true) ? {} : { attentionScale: 1 }),
    tiedHead: config.boolean('tie_word_embeddings', true),
    transposedLinears: true,
    names: {
      embedding: 'transformer.wte',
      positions: 'transformer.wpe',
      finalNorm: 'transformer.ln_f',
      head: 'lm_head',
    },
  }
  return describePlain(config, sizes, traits, (index) => {
    const at = `transformer.h.${index}`
    return {
      norms: { beforeAttention: `${at}.ln_1`, beforeMlp: `${at}.ln_2` },
      attention: {
        in: [linear(`${at}.attn.c_attn`, 3 * hidden, hidden, true)],
        out: linear(`${at}.attn.c_proj`, hidden, hidden, true),
        rope: -1,
        window: 0,
      },
      mlp: plainMlp(`${at}.mlp.c_fc`, `${at}.mlp.c_proj`, sizes, true),
    }
  })
}
