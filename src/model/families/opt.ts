/** OPT: learned positions, the table's first two rows being no position; relu. The 350M model, whose norms come after, is refused. */
import type { ModelDescription } from '../../native/binding.js'
import type { Fields } from '../fields.js'
import { readSizes } from './decoder.js'
import { describePlain, linear, plainMlp, readPlainActivation, separateProjections } from './plain.js'

export function describeOPT(config: Fields): ModelDescription {
  const sizes = readSizes(config.with({ intermediate_size: config.integer('ffn_dim') }), { rotated: false })
  const { hidden, heads, headDim } = sizes
  const only = (field: string, wanted: boolean) => {
    if (config.boolean(field, wanted) !== wanted) config.fail(field, `${wanted}`)
  }
  only('do_layer_norm_before', true)
  only('layer_norm_elementwise_affine', true)
  only('_remove_final_layer_norm', false)
  if (config.integer('word_embed_proj_dim', hidden) !== hidden) {
    config.fail('word_embed_proj_dim', `hidden_size (${hidden})`)
  }
  const bias = config.boolean('enable_bias', true)
  const given = {
    family: 'opt',
    maxPositions: config.integer('max_position_embeddings', 2048),
    normEpsilon: 1e-5,
    activation: readPlainActivation(config, 'activation_function', 'relu'),
    tiedHead: config.boolean('tie_word_embeddings', true),
    positionOffset: 2,
    names: {
      embedding: 'model.decoder.embed_tokens',
      positions: 'model.decoder.embed_positions',
      finalNorm: 'model.decoder.final_layer_norm',
      head: 'lm_head',
    },
  }
  return describePlain(config, sizes, given, (index) => {
    const at = `model.decoder.layers.${index}`
    return {
      norms: { beforeAttention: `${at}.self_attn_layer_norm`, beforeMlp: `${at}.final_layer_norm` },
      attention: {
        in: separateProjections(`${at}.self_attn`, sizes, bias),
        out: linear(`${at}.self_attn.out_proj`, hidden, heads * headDim, bias),
        rope: -1,
        window: 0,
      },
      mlp: plainMlp(`${at}.fc1`, `${at}.fc2`, sizes, bias),
    }
  })
}
