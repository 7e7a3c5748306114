/**
 * Inverse frequencies of rotary embeddings, in float32 as transformers computes them:
 *   f_i = 1 / theta^(2i/D)
 * `linear` divides every f_i by the factor. `llama3` divides those whose wavelength exceeds L/low_freq_factor, keeps those below
 * L/high_freq_factor, and blends in between with s = (L/wavelength − low) / (high − low): (1 − s)·f/factor + s·f, L the original context.
 */
import { FedloraError } from '../errors.js'
import type { Fields } from './fields.js'

export interface Rope {
  inverseFrequencies: number[]
  attentionFactor: number
}

const f32 = Math.fround

const ropeTypes = ['default', 'linear', 'llama3'] as const

interface RopeFields {
  theta: number
  type: string
  fields: Fields
}

/** A nested object, or undefined when it is absent, null or empty. */
function filled(config: Fields, field: string): Fields | undefined {
  const fields = config.object(field)
  return fields === undefined || Object.keys(fields.values).length === 0 ? undefined : fields
}

/**
 * Both spellings: transformers 5 `rope_parameters {rope_type, rope_theta, …}`; transformers 4 `rope_theta` beside `rope_scaling
 * {type | rope_type, …}`. Where both are given, `rope_scaling` replaces `rope_parameters` whole; a `rope_theta` inside goes before one
 * outside, `rope_type` before `type`. Source: transformers 5.24, modeling_rope_utils.py, convert_rope_params_to_dict.
 */
function ropeFields(config: Fields, defaultTheta: number): RopeFields {
  const fields = filled(config, 'rope_scaling') ?? filled(config, 'rope_parameters')
  if (fields === undefined)
    return { theta: config.positive('rope_theta', defaultTheta), type: 'default', fields: config }
  const byLayer = Object.keys(fields.values).find((key) => key.endsWith('_attention'))
  if (byLayer !== undefined) {
    throw new FedloraError(
      'E_UNSUPPORTED',
      `${config.where}: ${fields.prefix}${byLayer}: rotary parameters by layer type are not supported, only one set for all layers`,
      { field: `${fields.prefix}${byLayer}` },
    )
  }
  const inside = (field: string) => fields.values[field] !== undefined
  return {
    theta: inside('rope_theta') ? fields.positive('rope_theta') : config.positive('rope_theta', defaultTheta),
    type: inside('rope_type') ? fields.string('rope_type') : fields.string('type', 'default'),
    fields,
  }
}

function plain(theta: number, headDim: number): number[] {
  const base = f32(theta)
  return Array.from({ length: headDim / 2 }, (_, i) => f32(1 / f32(base ** f32((2 * i) / headDim))))
}

/** `outside`: what config.json says beside the rotary parameters, which goes first; the model's positions when neither says it. */
function llama3(frequencies: number[], fields: Fields, outside: Fields, maxPositions: number): number[] {
  const factor = fields.positive('factor')
  const low = fields.positive('low_freq_factor')
  const high = fields.positive('high_freq_factor')
  const original = 'original_max_position_embeddings'
  const context = outside.has(original) ? outside.positive(original) : fields.positive(original, maxPositions)
  if (!(high > low)) fields.fail('high_freq_factor', `more than low_freq_factor (${low})`)
  return frequencies.map((frequency) => {
    const wavelength = f32(f32(2 * Math.PI) / frequency)
    if (wavelength < context / high) return frequency
    if (wavelength > context / low) return f32(frequency / factor)
    const smooth = f32(f32(f32(context / wavelength) - low) / (high - low))
    return f32(f32(f32(f32(1 - smooth) * frequency) / factor) + f32(smooth * frequency))
  })
}

/**
 * Reads the rotary parameters of a config.
 * @throws FedloraError `E_UNSUPPORTED` for another rope type, by name; `E_CONFIG` for a bad field.
 */
export function readRope(config: Fields, headDim: number, maxPositions: number, defaultTheta = 10000): Rope {
  const { theta, type, fields } = ropeFields(config, defaultTheta)
  if (!(ropeTypes as readonly string[]).includes(type)) {
    throw new FedloraError(
      'E_UNSUPPORTED',
      `${config.where}: rope type '${type}' is not supported; supported are ${ropeTypes.join(', ')}`,
      { field: 'rope_type', got: type },
    )
  }
  const partial = fields.has('partial_rotary_factor')
    ? fields.positive('partial_rotary_factor')
    : config.positive('partial_rotary_factor', 1)
  if (partial !== 1) {
    throw new FedloraError(
      'E_UNSUPPORTED',
      `${config.where}: partial_rotary_factor ${partial} is not supported, only 1`,
      {
        field: 'partial_rotary_factor',
      },
    )
  }
  const frequencies = plain(theta, headDim)
  if (type === 'llama3')
    return { inverseFrequencies: llama3(frequencies, fields, config, maxPositions), attentionFactor: 1 }
  if (type === 'linear') {
    const factor = fields.positive('factor')
    return { inverseFrequencies: frequencies.map((frequency) => f32(frequency / factor)), attentionFactor: 1 }
  }
  return { inverseFrequencies: frequencies, attentionFactor: 1 }
}
