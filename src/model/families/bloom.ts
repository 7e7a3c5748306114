/** BLOOM: ALiBi in place of positions, a norm of embeddings, q, k and v in one matrix head by head. */
import type { ModelDescription } from '../../native/binding.js'
import type { Fields } from '../fields.js'
import { readSizes } from './decoder.js'
import { describePlain, linear, plainMlp } from './plain.js'

/**
 * A slope for each head (Press et al. 2022): 2^(−8·i/n) for n heads, a power of two; for others those of the power below, then every other
 * one of twice as many.
 */
export function alibiSlopes(heads: number): number[] {
  const power = 2 ** Math.floor(Math.log2(heads))
  const slope = (i: number, of: number) => 2 ** ((-8 * i) / of)
  return Array.from({ length: heads }, (_, head) =>
    head < power ? slope(head + 1, power) : slope(2 * (head - power) + 1, 2 * power),
  )
}

export function describeBloom(given: Fields): ModelDescription {
  const hidden = given.integer(given.has('n_embed') ? 'n_embed' : 'hidden_size', 64)
  const config = given.with({
    hidden_size: hidden,
    num_attention_heads: given.integer(given.has('n_head') ? 'n_head' : 'num_attention_heads', 8),
    num_hidden_layers: given.integer(given.has('n_layer') ? 'n_layer' : 'num_hidden_layers', 2),
    intermediate_size: 4 * hidden,
    vocab_size: given.integer('vocab_size', 250880),
  })
  if (config.boolean('apply_residual_connection_post_layernorm', false)) {
    config.fail('apply_residual_connection_post_layernorm', 'false')
  }
  const sizes = readSizes(config, { rotated: false })
  const traits = {
    family: 'bloom',
    maxPositions: config.integer('seq_length', 2048),
    normEpsilon: config.positive('layer_norm_epsilon', 1e-5),
    activation: 'gelu_tanh' as const,
    tiedHead: config.boolean('tie_word_embeddings', true),
    alibiSlopes: alibiSlopes(sizes.heads),
    names: {
      embedding: 'transformer.word_embeddings',
      embeddingNorm: 'transformer.word_embeddings_layernorm',
      finalNorm: 'transformer.ln_f',
      head: 'lm_head',
    },
  }
  return describePlain(config, sizes, traits, (index) => {
    const at = `transformer.h.${index}`
    return {
      norms: { beforeAttention: `${at}.input_layernorm`, beforeMlp: `${at}.post_attention_layernorm` },
      attention: {
        byHead: true,
        in: [linear(`${at}.self_attention.query_key_value`, 3 * hidden, hidden, true)],
        out: linear(`${at}.self_attention.dense`, hidden, hidden, true),
        rope: -1,
        window: 0,
      },
      mlp: plainMlp(`${at}.mlp.dense_h_to_4h`, `${at}.mlp.dense_4h_to_h`, sizes, true),
    }
  })
}
