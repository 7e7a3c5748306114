/** A model's config as the keys that llama.cpp reads: what config.ts does, the other way round. */
import { FedloraError } from '../../errors.js'
import type { Json } from '../../files/json.js'
import type { GgufField, GgufType } from '../../native/binding.js'
import type { ModelConfig } from '../config.js'
import { Fields } from '../fields.js'
import { ropeFields } from '../rope.js'
import type { Architecture } from './architectures.js'

/** `general.file_type`: what most of the matrices are. */
const fileTypes: Readonly<Record<GgufType, number>> = { f32: 0, f16: 1, q4_0: 2, q8_0: 7, bf16: 32 }

const field =
  (type: GgufField['type']) =>
  (name: string, value: NonNullable<GgufField['value']>): GgufField => ({
    name,
    type,
    list: Array.isArray(value),
    value,
  })
export const text = field('string')
export const whole = field('uint32')
export const number = field('float32')
export const flag = field('bool')
export const int = field('int32')

/** Keys that say how the file is made. */
export function fileFields(type: GgufType): GgufField[] {
  return [whole('general.file_type', fileTypes[type]), whole('general.quantization_version', 2)]
}

/** Type, theta and factor of the rotary parameters. */
function ropeOf(raw: Readonly<Json>): { type: string; theta: number; factor: number | undefined } {
  const { type, theta, fields } = ropeFields(new Fields(raw, 'config.json'))
  return { type, theta, factor: fields.has('factor') ? fields.positive('factor') : undefined }
}

/**
 * What llama3's scaling divides each frequency by: a tensor of the file. Undefined for every other scaling.
 * @throws FedloraError `E_UNSUPPORTED` for a scaling that is not written, by name.
 */
export function ropeFactors({ raw, description, headDim }: ModelConfig): Float32Array | undefined {
  const { type, theta } = ropeOf(raw)
  if (type === 'default' || type === 'linear') return undefined
  if (type !== 'llama3') {
    throw new FedloraError(
      'E_UNSUPPORTED',
      `GGUF: the rope type '${type}' is not written; written are default, linear and llama3. Merge into a folder, and convert it with llama.cpp's convert_hf_to_gguf.py`,
      { field: 'rope_type', got: type },
    )
  }
  const { inverseFrequencies } = description.ropes[0]!
  return Float32Array.from(inverseFrequencies, (frequency, i) => 1 / theta ** ((2 * i) / headDim) / frequency)
}

/** Windows: those of all layers, or 0. @throws FedloraError `E_UNSUPPORTED` when layers differ. */
function windowOf({ raw, description }: ModelConfig): number {
  const windows = new Set(description.layers.map(({ attention }) => attention.window))
  if (windows.size <= 1) return [...windows][0] ?? 0
  throw new FedloraError(
    'E_UNSUPPORTED',
    `GGUF has no place for windows that differ from layer to layer (${String(raw.model_type)}); merge into a folder instead`,
    { field: 'layer_types' },
  )
}

/** What a reader of the file should know: what GGUF, or llama.cpp, cannot say. */
export function notesOf(config: ModelConfig): string[] {
  const window = windowOf(config)
  if (window === 0 || window >= config.maxPositions) return []
  return [`llama.cpp does not apply this model's window of ${window} tokens: beyond them its logits differ`]
}

/**
 * The keys of a model, without its tokenizer.
 * @throws FedloraError `E_UNSUPPORTED` for what the architecture cannot say.
 */
export function modelFields(config: ModelConfig, { name: architecture }: Architecture, name: string): GgufField[] {
  const key = (part: string) => `${architecture}.${part}`
  const { description, raw } = config
  const { type, theta, factor } = ropeOf(raw)
  const window = windowOf(config)
  const biased = description.layers.some(({ attention }) => attention.in.some(({ bias }) => bias))
  if (biased && architecture === 'qwen3') {
    throw new FedloraError(
      'E_UNSUPPORTED',
      'GGUF: llama.cpp reads no attention biases of qwen3; merge into a folder instead',
      {
        field: 'attention_bias',
      },
    )
  }
  return [
    text('general.architecture', architecture),
    text('general.type', 'model'),
    text('general.name', name),
    whole(key('block_count'), config.layers),
    whole(key('context_length'), config.maxPositions),
    whole(key('embedding_length'), config.hidden),
    whole(key('feed_forward_length'), config.intermediate),
    whole(key('attention.head_count'), config.heads),
    whole(key('attention.head_count_kv'), config.kvHeads),
    whole(key('attention.key_length'), config.headDim),
    whole(key('attention.value_length'), config.headDim),
    ...(window > 0 ? [whole(key('attention.sliding_window'), window)] : []),
    number(key('attention.layer_norm_rms_epsilon'), description.normEpsilon),
    number(key('rope.freq_base'), theta),
    whole(key('rope.dimension_count'), config.headDim),
    ...(type === 'linear' && factor !== undefined
      ? [text(key('rope.scaling.type'), 'linear'), number(key('rope.scaling.factor'), factor)]
      : []),
    whole(key('vocab_size'), config.vocabulary),
  ]
}
