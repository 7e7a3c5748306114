/**
 * Inverse frequencies of rotary embeddings, in float32 as transformers computes them, P = partial_rotary_factor·D dimensions of a head:
 *   f_i = 1 / theta^(2i/P)
 * `linear` divides every f_i by the factor. `llama3` divides those whose wavelength exceeds L/low_freq_factor, keeps those below
 * L/high_freq_factor, and blends in between with s = (L/wavelength − low) / (high − low): (1 − s)·f/factor + s·f, L the original context.
 * `yarn` (Peng et al. 2023) blends f/factor and f by a ramp over i, from the one that turns beta_fast times in L to the one that turns
 * beta_slow times. `longrope` (Ding et al. 2024) divides f_i by short_factor_i, or by long_factor_i in rows longer than L. `dynamic` changes
 * nothing within max_position_embeddings, which no row exceeds here.
 * Source: transformers 5.24, modeling_rope_utils.py.
 */
import { FedloraError } from '../errors.js'
import type { RopeDescription } from '../native/binding.js'
import { Fields } from './fields.js'

const f32 = Math.fround

/** Where a family's rotary parameters are, and what it supplies for them. */
export interface RopeSource {
  headDim: number
  maxPositions: number
  /** 10000 when left out. */
  theta?: number
  /** The fields, for a family with a set for each type of layer; those of the config when left out. */
  fields?: RopeFields
  /** Whether only a part of each head may turn, and which when the config is silent (1 when left out). */
  partial?: boolean
  partialDefault?: number
  /** Other names that the family uses for rope types. */
  aliases?: Readonly<Record<string, string>>
}

/** What a table was made of; the engine takes frequencies alone. */
export interface RopeOrigin {
  /** default, linear, dynamic, llama3, yarn or longrope. */
  kind: string
  theta: number
  /** Positions that the model was trained for before its frequencies were scaled. */
  context: number
  fields: Fields
}

const origins = new WeakMap<RopeDescription, RopeOrigin>()

/** Of a table that `readRope` made. */
export const ropeOrigin = (rope: RopeDescription): RopeOrigin | undefined => origins.get(rope)

export interface RopeFields {
  theta: number
  type: string
  fields: Fields
}

/** What a family supplies for the thetas of full and of sliding attention, and the older name of the latter's field. */
export interface ThetasByLayer {
  full: number
  sliding: number
  slidingName: string
}

/** A nested object, or undefined when it is absent, null or empty. */
function filled(config: Fields, field: string): Fields | undefined {
  const fields = config.object(field)
  return fields === undefined || Object.keys(fields.values).length === 0 ? undefined : fields
}

/** Theta and type of one set of parameters; what it does not say stands outside, or is the family's. */
function ropeFieldsOf(fields: Fields, outside: Fields, defaultTheta: number, outsideName = 'rope_theta'): RopeFields {
  const inside = (field: string) => fields.values[field] !== undefined
  return {
    theta: inside('rope_theta') ? fields.positive('rope_theta') : outside.positive(outsideName, defaultTheta),
    type: inside('rope_type') ? fields.string('rope_type') : fields.string('type', 'default'),
    fields,
  }
}

/**
 * Both spellings: transformers 5 `rope_parameters {rope_type, rope_theta, …}`; transformers 4 `rope_theta` beside `rope_scaling
 * {type | rope_type, …}`. Where both are given, `rope_scaling` replaces `rope_parameters` whole; a `rope_theta` inside goes before one
 * outside, `rope_type` before `type`. Source: convert_rope_params_to_dict.
 */
function ropeFields(config: Fields, defaultTheta = 10000): RopeFields {
  const fields = filled(config, 'rope_scaling') ?? filled(config, 'rope_parameters')
  if (fields === undefined)
    return { theta: config.positive('rope_theta', defaultTheta), type: 'default', fields: config }
  const byLayer = Object.keys(fields.values).find((key) => key.endsWith('_attention'))
  if (byLayer !== undefined) {
    throw new FedloraError(
      'E_UNSUPPORTED',
      `${config.where}: ${fields.prefix}${byLayer}: rotary parameters by layer type are not supported for this family, only one set for all layers`,
      { field: `${fields.prefix}${byLayer}` },
    )
  }
  return ropeFieldsOf(fields, config, defaultTheta)
}

/**
 * The sets of full and of sliding attention, for families that have both (Gemma 3, OLMo 3). In the older spelling `rope_scaling` is that of
 * full attention alone, and `slidingName` names the other's theta. Source: convert_rope_params_to_dict of their configs.
 */
export function ropeFieldsByLayer(config: Fields, theta: ThetasByLayer): { full: RopeFields; sliding: RopeFields } {
  const sets = filled(config, 'rope_parameters')
  const types = ['full_attention', 'sliding_attention']
  const other = Object.keys(sets?.values ?? {}).find((key) => !types.includes(key))
  if (other !== undefined) config.fail('rope_parameters', `parameters of ${types.join(' and ')} alone, not '${other}'`)
  const of = (type: string) => (sets && filled(sets, type)) ?? new Fields({}, config.where)
  return {
    full: ropeFieldsOf(filled(config, 'rope_scaling') ?? of('full_attention'), config, theta.full),
    sliding: ropeFieldsOf(of('sliding_attention'), config, theta.sliding, theta.slidingName),
  }
}

/** theta^(2i/P), one for each pair. */
function periods(theta: number, rotary: number): number[] {
  const base = f32(theta)
  return Array.from({ length: rotary / 2 }, (_, i) => f32(base ** f32((2 * i) / rotary)))
}

/** L: what config.json says beside the rotary parameters goes first; the model's positions when neither says it. */
function originalPositions(fields: Fields, outside: Fields, maxPositions: number): number {
  const name = 'original_max_position_embeddings'
  return outside.has(name) ? outside.integer(name) : fields.integer(name, maxPositions)
}

function llama3(frequencies: number[], fields: Fields, context: number): number[] {
  const factor = fields.positive('factor')
  const low = fields.positive('low_freq_factor')
  const high = fields.positive('high_freq_factor')
  if (!(high > low)) fields.fail('high_freq_factor', `more than low_freq_factor (${low})`)
  return frequencies.map((frequency) => {
    const wavelength = f32(f32(2 * Math.PI) / frequency)
    if (wavelength < context / high) return frequency
    if (wavelength > context / low) return f32(frequency / factor)
    const smooth = f32(f32(f32(context / wavelength) - low) / (high - low))
    return f32(f32(f32(f32(1 - smooth) * frequency) / factor) + f32(smooth * frequency))
  })
}

/** 0.1·m·ln(factor) + 1: how much longer contexts sharpen attention. */
export const temperature = (factor: number, m = 1) => (factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1)

function yarn(theta: number, rotary: number, fields: Fields, context: number, maxPositions: number): RopeDescription {
  const factor = fields.positive('factor', fields.values.factor === null ? maxPositions / context : undefined)
  const [m, all] = [fields.number('mscale', 0), fields.number('mscale_all_dim', 0)]
  const attentionFactor = fields.has('attention_factor')
    ? fields.positive('attention_factor')
    : m !== 0 && all !== 0
      ? temperature(factor, m) / temperature(factor, all)
      : temperature(factor)
  /** The pair that turns so often in the original context. */
  const pairOf = (turns: number) => (rotary * Math.log(context / (turns * 2 * Math.PI))) / (2 * Math.log(theta))
  const whole = fields.boolean('truncate', true)
  const [fast, slow] = [pairOf(fields.positive('beta_fast', 32)), pairOf(fields.positive('beta_slow', 1))]
  const low = Math.max(whole ? Math.floor(fast) : fast, 0)
  const high = Math.min(whole ? Math.ceil(slow) : slow, rotary - 1)
  const width = low === high ? 0.001 : high - low
  const inverseFrequencies = periods(theta, rotary).map((period, i) => {
    const kept = f32(1 - Math.min(Math.max(f32(f32(i - low) / width), 0), 1))
    return f32(f32(f32(1 / f32(factor * period)) * f32(1 - kept)) + f32(f32(1 / period) * kept))
  })
  return { inverseFrequencies, attentionFactor }
}

function longrope(
  theta: number,
  rotary: number,
  fields: Fields,
  context: number,
  maxPositions: number,
): RopeDescription {
  const factor = fields.positive('factor', maxPositions / context)
  const stretched = (name: string) => {
    const factors = fields.positives(name)
    if (factors.length !== rotary / 2)
      fields.fail(name, `${rotary / 2} numbers, one for each pair of rotated dimensions`)
    return periods(theta, rotary).map((period, i) => f32(1 / f32(f32(factors[i]!) * period)))
  }
  return {
    inverseFrequencies: stretched('short_factor'),
    attentionFactor: fields.positive(
      'attention_factor',
      factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(context)),
    ),
    long: { inverseFrequencies: stretched('long_factor'), originalPositions: context },
  }
}

/** P: the dimensions of a head that turn. */
function rotaryDim(config: Fields, fields: Fields, { headDim, partial, partialDefault }: RopeSource): number {
  const name = 'partial_rotary_factor'
  const factor = fields.has(name) ? fields.positive(name) : config.positive(name, partialDefault ?? 1)
  const rotary = Math.trunc(headDim * factor)
  if (factor === 1 || (partial && factor < 1 && rotary >= 2 && rotary % 2 === 0)) return rotary
  throw new FedloraError(
    'E_UNSUPPORTED',
    `${config.where}: partial_rotary_factor ${factor} is not supported for this family, only ${partial ? `1 or less, and an even number of the ${headDim} dimensions` : '1'}`,
    { field: name },
  )
}

type Compute = (theta: number, rotary: number, fields: Fields, context: number, maxPositions: number) => RopeDescription

const plain = (theta: number, rotary: number) => periods(theta, rotary).map((period) => f32(1 / period))
const unscaled = (inverseFrequencies: number[]): RopeDescription => ({ inverseFrequencies, attentionFactor: 1 })

const kinds: Readonly<Record<string, Compute>> = {
  default: (theta, rotary) => unscaled(plain(theta, rotary)),
  linear: (theta, rotary, fields) => {
    const factor = fields.positive('factor')
    return unscaled(plain(theta, rotary).map((frequency) => f32(frequency / factor)))
  },
  dynamic: (theta, rotary) => unscaled(plain(theta, rotary)),
  llama3: (theta, rotary, fields, context) => unscaled(llama3(plain(theta, rotary), fields, context)),
  yarn,
  longrope,
}

/**
 * Reads the rotary parameters of a config.
 * @throws FedloraError `E_UNSUPPORTED` for another rope type, by name; `E_CONFIG` for a bad field.
 */
export function readRope(config: Fields, source: RopeSource): RopeDescription {
  const { theta, type, fields } = source.fields ?? ropeFields(config, source.theta)
  const kind = source.aliases?.[type] ?? type
  if (!Object.hasOwn(kinds, kind)) {
    throw new FedloraError(
      'E_UNSUPPORTED',
      `${config.where}: rope type '${type}' is not supported; supported are ${Object.keys(kinds).join(', ')}`,
      { field: 'rope_type', got: type },
    )
  }
  const rotary = rotaryDim(config, fields, source)
  const context = originalPositions(fields, config, source.maxPositions)
  const rope = kinds[kind]!(theta, rotary, fields, context, source.maxPositions)
  origins.set(rope, { kind, theta, context, fields })
  return rope
}
