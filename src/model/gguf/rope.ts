/**
 * Rotary parameters as keys and tensors of a file. llama.cpp turns pair i by position·scale/theta^(2i/P)/factor_i; a YaRN model's cosines and sines
 * it multiplies by attn_factor·(1 + 0.1·ln f)/(1 + 0.1·m·ln f), f the factor and m yarn_log_multiplier (0: none).
 * Source: llama.cpp, src/llama-context.cpp and ggml_compute_forward_rope.
 */
import { FedloraError } from '../../errors.js'
import type { Json } from '../../files/json.js'
import type { GgufField, ModelDescription, RopeDescription } from '../../native/binding.js'
import { type RopeOrigin, ropeOrigin, temperature } from '../rope.js'
import type { Architecture } from './architectures.js'
import { number, text, whole } from './keys.js'
import { type GgufSource, keyOf } from './source.js'

/** Vectors of a file that the model's layers share. */
export const ropeVectors = {
  factors: 'rope_freqs.weight',
  long: 'rope_factors_long.weight',
  short: 'rope_factors_short.weight',
}

function refuse(path: string, field: string, why: string): never {
  throw new FedloraError('E_UNSUPPORTED', `${path}: ${field}: ${why}`, { path, field })
}

/** Longrope: a factor for each pair, in short rows and in long ones. */
function longrope(source: GgufSource, context: number | undefined): Json {
  const { metadata, tensors } = source
  if (!tensors.has(ropeVectors.long) || !tensors.has(ropeVectors.short))
    metadata.fail(keyOf(source, 'rope.scaling.type'), `tensors ${ropeVectors.long} and ${ropeVectors.short}`)
  const attention = metadata.number(keyOf(source, 'rope.scaling.attn_factor'))
  return {
    rope_type: 'longrope',
    long_factor: Array.from(source.vector(ropeVectors.long)),
    short_factor: Array.from(source.vector(ropeVectors.short)),
    ...(context !== undefined && { original_max_position_embeddings: context }),
    ...(attention !== undefined && { attention_factor: attention }),
  }
}

function yarn(source: GgufSource, factor: number | undefined, context: number | undefined): Json {
  const { metadata, architecture } = source
  const said = (name: string) => metadata.number(keyOf(source, `rope.scaling.${name}`))
  const unread = ['yarn_attn_factor', 'yarn_ext_factor', ...(architecture.tunedYarn ? [] : ['yarn_log_multiplier'])]
  for (const name of unread) {
    const value = said(name) ?? 1
    if (value === 1) continue
    const why = `${value} is not supported, only 1; load the model's Hugging Face folder`
    refuse(metadata.path, keyOf(source, `rope.scaling.${name}`), why)
  }
  if (factor === undefined) return metadata.fail(keyOf(source, 'rope.scaling.factor'), 'a number')
  const sharpened =
    temperature(factor) / temperature(factor, architecture.tunedYarn ? (said('yarn_log_multiplier') ?? 0) : 0)
  return {
    rope_type: 'yarn',
    factor,
    original_max_position_embeddings: context,
    beta_fast: said('yarn_beta_fast'),
    beta_slow: said('yarn_beta_slow'),
    attention_factor: sharpened * (said('attn_factor') ?? 1),
  }
}

/** Type and factors. */
function scaling(source: GgufSource): Json {
  const { metadata, tensors } = source
  const key = (name: string) => keyOf(source, `rope.${name}`)
  const type = metadata.text(key('scaling.type')) ?? (metadata.has(key('scale_linear')) ? 'linear' : 'none')
  const factor = metadata.number(key('scaling.factor')) ?? metadata.number(key('scale_linear'))
  const context = metadata.whole(key('scaling.original_context_length'))
  if (type === 'longrope' || tensors.has(ropeVectors.long)) return longrope(source, context)
  if (type === 'none' || (type === 'linear' && factor === 1)) return { rope_type: 'default' }
  if (type === 'linear') return { rope_type: 'linear', factor }
  if (type === 'yarn') return yarn(source, factor, context)
  const why = `rope scaling '${type}' is not supported; supported are none, linear, yarn and longrope`
  return refuse(metadata.path, key('scaling.type'), why)
}

/** The share of a head that turns, from which `rotaryDim` gets the same number of dimensions by cutting off. */
const share = (rotated: number, headDim: number) => (rotated === headDim ? 1 : (rotated + 0.5) / headDim)

/** `rope_parameters` of config.json. */
export function readRopeKeys(source: GgufSource, headDim: number): Json {
  const { metadata, architecture } = source
  const theta = metadata.number(keyOf(source, 'rope.freq_base')) ?? 10000
  const rotated = metadata.whole(keyOf(source, 'rope.dimension_count')) ?? headDim
  const beta = architecture.tunedYarn && metadata.number(keyOf(source, 'attention.temperature_scale'))
  const context = metadata.whole(keyOf(source, 'rope.scaling.original_context_length'))
  const all = {
    rope_theta: theta,
    partial_rotary_factor: share(rotated, headDim),
    ...(context !== undefined && { original_max_position_embeddings: context }),
    ...(beta && { llama_4_scaling_beta: beta }),
    ...scaling(source),
  }
  if (architecture.windowTheta === undefined) return { rope_parameters: all }
  const sliding = metadata.number(keyOf(source, 'rope.freq_base_swa')) ?? architecture.windowTheta(theta)
  return {
    rope_parameters: { full_attention: all, sliding_attention: { rope_type: 'default', rope_theta: sliding } },
  }
}

export interface RopeKeys {
  fields: GgufField[]
  /** Tensors, by name. */
  vectors: Map<string, Float32Array>
}

/** A model's main table, what it was made of, and the names of keys. */
interface Given {
  rope: RopeDescription
  origin: RopeOrigin
  model: ModelDescription
  architecture: Architecture
  /** After `rope.scaling.`. */
  key(name: string): string
}

/** The converse of `yarn`: cosines and sines are multiplied by `attentionFactor` in the end. */
function yarnKeys({ rope: { attentionFactor }, origin, model, architecture: { tunedYarn }, key }: Given): GgufField[] {
  const { fields, context } = origin
  const factor = fields.has('factor') ? fields.positive('factor') : model.maxPositions / context
  const sharper = temperature(factor)
  const ratio = attentionFactor / sharper
  const multiplier =
    tunedYarn && factor > 1
      ? number(key('yarn_log_multiplier'), (1 / ratio - 1) / (sharper - 1))
      : number(key('attn_factor'), ratio)
  const betas = ['beta_fast', 'beta_slow'].filter((name) => tunedYarn && fields.has(name))
  return [
    text(key('type'), 'yarn'),
    number(key('factor'), factor),
    whole(key('original_context_length'), context),
    ...betas.map((name) => number(key(`yarn_${name}`), fields.positive(name))),
    ...(Math.abs(ratio - 1) > 1e-7 ? [multiplier] : []),
  ]
}

/** Keys and tensors by rope type. */
const kinds: Readonly<Record<string, (given: Given) => { fields?: GgufField[]; vectors?: [string, number[]][] }>> = {
  default: () => ({}),
  dynamic: () => ({}),
  linear: ({ origin, key }) => ({
    fields: [text(key('type'), 'linear'), number(key('factor'), origin.fields.positive('factor'))],
  }),
  yarn: (given) => ({ fields: yarnKeys(given) }),
  llama3: ({ rope: { inverseFrequencies }, origin: { theta } }) => {
    const period = (i: number) => theta ** (i / inverseFrequencies.length)
    return { vectors: [[ropeVectors.factors, inverseFrequencies.map((frequency, i) => 1 / period(i) / frequency)]] }
  },
  longrope: ({ rope, origin: { context, fields }, key }) => ({
    fields: [
      text(key('type'), 'longrope'),
      whole(key('original_context_length'), context),
      number(key('attn_factor'), rope.attentionFactor),
    ],
    vectors: [
      [ropeVectors.long, fields.positives('long_factor')],
      [ropeVectors.short, fields.positives('short_factor')],
    ],
  }),
}

/** @throws FedloraError `E_UNSUPPORTED` for a rope type that llama.cpp has not for the architecture. */
function checkKind(kind: string, { name, ropes = [] }: Architecture): void {
  const known = ['default', 'linear', 'dynamic', 'yarn', ...ropes]
  if (known.includes(kind)) return
  throw new FedloraError(
    'E_UNSUPPORTED',
    `GGUF: llama.cpp has no rope type '${kind}' for its architecture '${name}', only ${known.join(', ')}. Merge into a folder (format 'safetensors')`,
    { field: 'rope_type', got: kind },
  )
}

/** Keys and tensors of a model's rotation. @throws FedloraError `E_UNSUPPORTED` for a rope type that the architecture has not, by name. */
export function writeRopeKeys(model: ModelDescription, architecture: Architecture): RopeKeys {
  const [rope, other] = model.ropes
  const origin = rope && ropeOrigin(rope)
  if (origin === undefined) return { fields: [], vectors: new Map() }
  checkKind(origin.kind, architecture)
  const key = (name: string) => `${architecture.name}.${name}`
  const scaling = (name: string) => key(`rope.scaling.${name}`)
  const { fields = [], vectors = [] } = kinds[origin.kind]!({ rope: rope!, origin, model, architecture, key: scaling })
  const sliding = architecture.windowTheta && other && ropeOrigin(other)?.theta
  const warming = model.ropes.find((one) => one.temperature !== undefined)?.temperature
  const context = scaling('original_context_length')
  return {
    fields: [
      number(key('rope.freq_base'), origin.theta),
      whole(key('rope.dimension_count'), 2 * rope!.inverseFrequencies.length),
      ...(sliding === undefined ? [] : [number(key('rope.freq_base_swa'), sliding)]),
      ...fields,
      ...(warming === undefined ? [] : [number(key('attention.temperature_scale'), warming.beta)]),
      ...(warming === undefined || fields.some(({ name }) => name === context)
        ? []
        : [whole(context, warming.positions)]),
    ],
    vectors: new Map(vectors.map(([name, numbers]) => [name, Float32Array.from(numbers)])),
  }
}
