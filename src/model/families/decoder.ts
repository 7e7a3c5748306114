/**
 * The shape that most decoder families share: norms before or after each half, rotated attention and a gated MLP under Llama's tensor names.
 * A family is the difference from it, in `Traits`; the engine knows descriptions, not families.
 */
import type { BlockDescription, LinearSpec, ModelDescription, RopeDescription } from '../../native/binding.js'
import type { Fields } from '../fields.js'
import { readRope } from '../rope.js'

/** What a family's config class supplies when a field is absent, and what it does otherwise than Llama. */
export interface Traits {
  family: string
  kvHeads?: number
  headDim?: number
  maxPositions: number
  /** 1e-6 when left out. */
  epsilon?: number
  tiedHead?: boolean
  /** The field of the activation and its accepted names; `hidden_act`, silu when left out. */
  activation?: { field: string; kind: 'gelu_tanh'; names: readonly string[] }
  attentionBias?: boolean
  outputBias?: boolean
  mlpBias?: boolean
  /** A norm of each head of q and k, or of the whole projections. */
  queryKeyNorm?: 'head' | 'projection'
  /** Names of a block's norms, after its prefix; Llama's when left out. */
  norms?: BlockDescription['norms']
  /** q, k and v in `qkv_proj`, gate and up in `gate_up_proj`. */
  fused?: boolean
  /** Keys that a query of layer `index` sees, itself included; 0: all. */
  window?: (index: number) => number
  /** Llama's when left out: one set of frequencies for all layers. */
  ropes?: (headDim: number, maxPositions: number) => RopeDescription[]
  /** Index into `ropes` for layer `index`; −1: no rotation. */
  rope?: (index: number) => number
  /** That of the queries, where it is another. */
  queryRope?: number
  normOffset?: number
  /** 1/√headDim when left out. */
  attentionScale?: number
  attentionSoftCap?: number
  logitSoftCap?: number
  embeddingMultiplier?: number
  residualMultiplier?: number
  logitsDivider?: number
}

/** What the engine takes: more layers or heads, or wider heads, are a damaged config rather than a model. */
const mostLayers = 4096
const mostHeads = 4096
const widestHead = 256

const llamaNorms = { beforeAttention: 'input_layernorm', beforeMlp: 'post_attention_layernorm' }

export type Sizes = Pick<ModelDescription, 'hidden' | 'heads' | 'kvHeads' | 'headDim' | 'intermediate'>

function describeBlock(index: number, sizes: Sizes, traits: Traits): BlockDescription {
  const prefix = `model.layers.${index}`
  const { hidden, intermediate } = sizes
  const [queries, keys] = [sizes.heads * sizes.headDim, sizes.kvHeads * sizes.headDim]
  const linear = (module: string, out: number, width: number, bias = false): LinearSpec => {
    return { module: `${prefix}.${module}`, shape: [out, width], bias }
  }
  const projection = (name: string, out: number) => linear(`self_attn.${name}`, out, hidden, traits.attentionBias)
  const entry = (name: string, out: number) => linear(`mlp.${name}`, out, hidden, traits.mlpBias)
  const norms = Object.entries(traits.norms ?? llamaNorms).map(([place, name]) => [place, `${prefix}.${name}`])
  return {
    norms: Object.fromEntries(norms) as BlockDescription['norms'],
    attention: {
      in: traits.fused
        ? [projection('qkv_proj', queries + 2 * keys)]
        : [projection('q_proj', queries), projection('k_proj', keys), projection('v_proj', keys)],
      out: linear('self_attn.o_proj', hidden, queries, traits.outputBias),
      ...(traits.queryKeyNorm ? { qNorm: `${prefix}.self_attn.q_norm`, kNorm: `${prefix}.self_attn.k_norm` } : {}),
      rope: traits.rope?.(index) ?? 0,
      ...(traits.queryRope === undefined ? {} : { queryRope: traits.queryRope }),
      window: traits.window?.(index) ?? 0,
    },
    mlp: {
      in: traits.fused
        ? [entry('gate_up_proj', 2 * intermediate)]
        : [entry('gate_proj', intermediate), entry('up_proj', intermediate)],
      out: linear('mlp.down_proj', hidden, intermediate, traits.mlpBias),
    },
  }
}

/** `rotated: false`: heads may have an odd width. */
export function readSizes(config: Fields, traits: Pick<Traits, 'kvHeads' | 'headDim'> & { rotated?: boolean }): Sizes {
  const hidden = config.integer('hidden_size')
  const heads = config.integer('num_attention_heads', undefined, 1, mostHeads)
  const kvHeads =
    config.values.num_key_value_heads === null ? heads : config.integer('num_key_value_heads', traits.kvHeads ?? heads)
  if (heads % kvHeads !== 0) config.fail('num_key_value_heads', `a divisor of num_attention_heads (${heads})`)
  if (!config.has('head_dim') && traits.headDim === undefined && hidden % heads !== 0) {
    config.fail('hidden_size', `a multiple of num_attention_heads (${heads}), or a head_dim`)
  }
  const headDim = config.integer('head_dim', traits.headDim ?? hidden / heads, 2, widestHead)
  if ((headDim % 2 !== 0 && traits.rotated !== false) || headDim > widestHead) {
    config.fail('head_dim', `an even number up to ${widestHead} (by default hidden_size / num_attention_heads)`)
  }
  return { hidden, heads, kvHeads, headDim, intermediate: config.integer('intermediate_size') }
}

/** `attention_bias`: of the projections and of the output alike. */
export function attentionBiases(config: Fields): Pick<Traits, 'attentionBias' | 'outputBias'> {
  const bias = config.boolean('attention_bias', false)
  return { attentionBias: bias, outputBias: bias }
}

function readActivation(config: Fields, traits: Traits): 'silu' | 'gelu_tanh' {
  const { field, kind, names } = traits.activation ?? {
    field: 'hidden_act',
    kind: 'silu' as const,
    names: ['silu', 'swish'],
  }
  if (!names.includes(config.string(field, names[0]))) config.fail(field, `'${names[0]}' for ${traits.family}`)
  return kind
}

/** The description of a Llama-shaped family from its config. */
export function describeDecoder(config: Fields, traits: Traits): ModelDescription {
  const sizes = readSizes(config, traits)
  const { headDim } = sizes
  const maxPositions = config.integer('max_position_embeddings', traits.maxPositions)
  return {
    family: traits.family,
    vocabulary: config.integer('vocab_size'),
    ...sizes,
    maxPositions,
    norm: 'rms',
    normEpsilon: config.positive('rms_norm_eps', traits.epsilon ?? 1e-6),
    normOffset: traits.normOffset ?? 0,
    queryKeyNorm: traits.queryKeyNorm ?? 'head',
    activation: readActivation(config, traits),
    gated: true,
    parallel: false,
    attentionScale: traits.attentionScale ?? 1 / Math.sqrt(headDim),
    attentionSoftCap: traits.attentionSoftCap ?? 0,
    logitSoftCap: traits.logitSoftCap ?? 0,
    embeddingMultiplier: traits.embeddingMultiplier ?? 1,
    residualMultiplier: traits.residualMultiplier ?? 1,
    logitsDivider: traits.logitsDivider ?? 1,
    tiedHead: config.boolean('tie_word_embeddings', traits.tiedHead ?? false),
    transposedLinears: false,
    headBias: false,
    positionOffset: 0,
    ropes: traits.ropes?.(headDim, maxPositions) ?? [readRope(config, { headDim, maxPositions })],
    layers: Array.from({ length: layerCount(config) }, (_, index) => describeBlock(index, sizes, traits)),
    names: { embedding: 'model.embed_tokens', finalNorm: 'model.norm', head: 'lm_head' },
  }
}

export const layerCount = (config: Fields) => config.integer('num_hidden_layers', undefined, 1, mostLayers)
