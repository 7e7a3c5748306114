/**
 * The shape that most decoder families share: rms norm before each half, q/k/v/o and a gated MLP under Llama's tensor names.
 * A family is the difference from it, in `Traits`; the engine knows descriptions, not families.
 */
import type { BlockDescription, LinearSpec, ModelDescription } from '../../native/binding.js'
import type { Fields } from '../fields.js'
import { readRope } from '../rope.js'

/** What a family's config class supplies when a field is absent. */
export interface Traits {
  family: string
  kvHeads?: number
  headDim?: number
  maxPositions: number
  attentionBias: boolean
  outputBias: boolean
  mlpBias: boolean
  /** A norm of each head of q and k. */
  queryKeyNorm: boolean
  /** Keys that a query of layer `index` sees, itself included; 0: all. */
  window: (index: number) => number
}

/** What the engine takes: more layers or heads, or wider heads, are a damaged config rather than a model. */
const mostLayers = 4096
const mostHeads = 4096
const widestHead = 256

type Sizes = Pick<ModelDescription, 'hidden' | 'heads' | 'kvHeads' | 'headDim' | 'intermediate'>

function describeBlock(index: number, sizes: Sizes, traits: Traits): BlockDescription {
  const prefix = `model.layers.${index}`
  const attention = `${prefix}.self_attn`
  const { hidden, intermediate } = sizes
  const queries = sizes.heads * sizes.headDim
  const keys = sizes.kvHeads * sizes.headDim
  const linear = (module: string, out: number, width: number, bias: boolean): LinearSpec => {
    return { module, shape: [out, width], bias }
  }
  return {
    norms: { beforeAttention: `${prefix}.input_layernorm`, beforeMlp: `${prefix}.post_attention_layernorm` },
    attention: {
      in: [
        linear(`${attention}.q_proj`, queries, hidden, traits.attentionBias),
        linear(`${attention}.k_proj`, keys, hidden, traits.attentionBias),
        linear(`${attention}.v_proj`, keys, hidden, traits.attentionBias),
      ],
      out: linear(`${attention}.o_proj`, hidden, queries, traits.outputBias),
      ...(traits.queryKeyNorm ? { qNorm: `${attention}.q_norm`, kNorm: `${attention}.k_norm` } : {}),
      rope: 0,
      window: traits.window(index),
    },
    mlp: {
      in: [
        linear(`${prefix}.mlp.gate_proj`, intermediate, hidden, traits.mlpBias),
        linear(`${prefix}.mlp.up_proj`, intermediate, hidden, traits.mlpBias),
      ],
      out: linear(`${prefix}.mlp.down_proj`, hidden, intermediate, traits.mlpBias),
    },
  }
}

/** The description of a Llama-shaped family from its config. */
export function describeDecoder(config: Fields, traits: Traits): ModelDescription {
  const hidden = config.integer('hidden_size')
  const heads = config.integer('num_attention_heads', undefined, 1, mostHeads)
  const kvHeads =
    config.values.num_key_value_heads === null ? heads : config.integer('num_key_value_heads', traits.kvHeads ?? heads)
  if (heads % kvHeads !== 0) config.fail('num_key_value_heads', `a divisor of num_attention_heads (${heads})`)
  if (!config.has('head_dim') && traits.headDim === undefined && hidden % heads !== 0) {
    config.fail('hidden_size', `a multiple of num_attention_heads (${heads}), or a head_dim`)
  }
  const headDim = config.integer('head_dim', traits.headDim ?? hidden / heads, 2, widestHead)
  if (headDim % 2 !== 0 || headDim > widestHead) {
    config.fail('head_dim', `an even number up to ${widestHead} (by default hidden_size / num_attention_heads)`)
  }
  const maxPositions = config.integer('max_position_embeddings', traits.maxPositions)
  const activation = config.string('hidden_act', 'silu')
  if (activation !== 'silu' && activation !== 'swish') config.fail('hidden_act', `'silu' for ${traits.family}`)
  const sizes: Sizes = { hidden, heads, kvHeads, headDim, intermediate: config.integer('intermediate_size') }
  return {
    family: traits.family,
    vocabulary: config.integer('vocab_size'),
    ...sizes,
    maxPositions,
    norm: 'rms',
    normEpsilon: config.positive('rms_norm_eps', 1e-6),
    normOffset: 0,
    queryKeyNorm: 'head',
    activation: 'silu',
    attentionScale: 1 / Math.sqrt(headDim),
    attentionSoftCap: 0,
    logitSoftCap: 0,
    embeddingMultiplier: 1,
    residualMultiplier: 1,
    logitsDivider: 1,
    tiedHead: config.boolean('tie_word_embeddings', false),
    transposedLinears: false,
    learnedPositions: false,
    ropes: [readRope(config, headDim, maxPositions)],
    layers: Array.from({ length: config.integer('num_hidden_layers', undefined, 1, mostLayers) }, (_, index) =>
      describeBlock(index, sizes, traits),
    ),
    names: { embedding: 'model.embed_tokens', finalNorm: 'model.norm', head: 'lm_head' },
  }
}

/** Which layers have the window, by `layer_types`; undefined when the config does not list them. */
function slidingLayers(config: Fields): boolean[] | undefined {
  const types = config.strings('layer_types')
  if (types === undefined) return undefined
  const layers = config.integer('num_hidden_layers', undefined, 1, mostLayers)
  if (types.length !== layers) config.fail('layer_types', `one entry for each of the ${layers} layers`)
  const known = ['full_attention', 'attention', 'sliding_attention'] // 'attention' is an older name of full_attention
  if (types.some((type) => !known.includes(type))) {
    config.fail('layer_types', "entries 'full_attention' or 'sliding_attention'")
  }
  return types.map((type) => type === 'sliding_attention')
}

/** Mistral's windows: one for all layers (null: none), or for those that `layer_types` names. */
export function mistralWindow(config: Fields): (index: number) => number {
  const window = config.values.sliding_window === null ? 0 : config.integer('sliding_window', 4096)
  const sliding = slidingLayers(config)
  return (index) => (sliding === undefined || sliding[index] ? window : 0)
}

/** Qwen's windows: `layer_types`, or layers from `max_window_layers` on when `use_sliding_window` says so. */
export function qwenWindow(config: Fields): (index: number) => number {
  const used = config.boolean('use_sliding_window', false) && config.values.sliding_window !== null
  const window = used ? config.integer('sliding_window', 4096) : 0
  const from = config.integer('max_window_layers', 28, 0)
  const sliding = slidingLayers(config)
  return (index) => ((sliding === undefined ? index >= from : sliding[index]) ? window : 0)
}
