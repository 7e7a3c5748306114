/**
 * Multimodal checkpoints: the config of their text part. transformers keeps it in `text_config`, without what its config class supplies; what
 * both parts share (types, ids of tokens, quantisation) stands beside it.
 */
import { FedloraError } from '../errors.js'
import type { Json } from '../files/json.js'

/** What names of the text part begin with: transformers' names before and since 4.52, and those of Idefics 3 and SmolVLM. */
export const textPrefixes: readonly string[] = ['model.language_model.', 'language_model.', 'model.text_model.']

/** What transformers' config classes supply: vocabulary, hidden and intermediate size, layers, heads. */
const supplied: Readonly<Record<string, readonly [number, number, number, number, number]>> = {
  gemma: [256000, 3072, 24576, 28, 16],
  gemma2: [256000, 2304, 9216, 26, 8],
  gemma3_text: [262208, 2304, 9216, 26, 8],
  granite: [32000, 4096, 11008, 32, 32],
  llama: [32000, 4096, 11008, 32, 32],
  ministral3: [131072, 4096, 14336, 34, 32],
  mistral: [32000, 4096, 14336, 32, 32],
  phi: [51200, 2048, 8192, 24, 32],
  phi3: [32064, 3072, 8192, 32, 32],
  qwen2: [151936, 4096, 22016, 32, 32],
  qwen3: [151936, 4096, 22016, 32, 32],
  smollm3: [128256, 2048, 11008, 36, 16],
}

/** Fields of the whole that hold for the text part where that says nothing. */
const shared = [
  'bos_token_id',
  'dtype',
  'eos_token_id',
  'pad_token_id',
  'quantization_config',
  'tie_word_embeddings',
  'torch_dtype',
]

export interface TextPart {
  /** A config as that of a text model. */
  config: Json
  /** `model_type` of the whole. */
  of: string
}

/**
 * The text part of a config; undefined when all of it is text.
 * @param where - the file, for messages.
 * @throws FedloraError `E_CONFIG` when the text part does not say what it is.
 */
export function textPart(raw: Json, where: string): TextPart | undefined {
  const { text_config: text, model_type: of } = raw
  if (typeof text !== 'object' || text === null || Array.isArray(text)) return undefined
  const { model_type: type } = text as Json
  if (typeof type !== 'string') {
    throw new FedloraError('E_CONFIG', `${where}: text_config has no model_type, which says what its text part is`, {
      field: 'text_config.model_type',
    })
  }
  const sizes = Object.hasOwn(supplied, type) ? supplied[type]! : []
  const names = ['vocab_size', 'hidden_size', 'intermediate_size', 'num_hidden_layers', 'num_attention_heads']
  const common = shared.flatMap((field) => (raw[field] === undefined ? [] : [[field, raw[field]]]))
  const config = { ...Object.fromEntries(sizes.map((size, i) => [names[i], size])), ...Object.fromEntries(common) }
  return { config: { ...config, ...(text as Json) }, of: String(of) }
}

/** The parts that tensors belong to, each with their number: `model.vision_tower.blocks.0…` is of `vision_tower`. */
export function partsOf(tensors: readonly string[]): Map<string, number> {
  const parts = new Map<string, number>()
  for (const name of tensors) {
    const part = name.replace(/^model\./, '').split('.', 1)[0]!
    parts.set(part, (parts.get(part) ?? 0) + 1)
  }
  return parts
}
