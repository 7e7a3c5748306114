/** `config.json` of a Hugging Face folder, in the spelling of transformers 4 or 5, as a `ModelConfig`. */
import { FedloraError } from '../errors.js'
import type { Json } from '../files/json.js'
import type { ModelDescription, StoredTensor } from '../native/binding.js'
import { native } from '../native/load.js'
import { describeFamily } from './families/index.js'
import { Fields } from './fields.js'
import { readQuantization, type StoredQuantization } from './stored-quantization.js'
import { textPart, textPrefixes } from './text-part.js'

export type StoredType = 'float32' | 'float16' | 'bfloat16'

/** What a model folder says about its model. */
export interface ModelConfig {
  /** `model_type`, such as `llama`. */
  readonly family: string
  /** `model_type` of the multimodal checkpoint whose text part this is. */
  readonly textOf?: string
  readonly vocabulary: number
  readonly hidden: number
  readonly layers: number
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  readonly intermediate: number
  readonly maxPositions: number
  readonly tiedHead: boolean
  /** The element type the weights were saved in (of the unquantised tensors when the folder is quantised). */
  readonly storedType: StoredType
  readonly storedQuantization?: StoredQuantization
  readonly bosTokenId?: number
  readonly padTokenId?: number
  /** Every token that ends a generation: `generation_config.json` first, then `config.json`. */
  readonly endTokenIds: readonly number[]
  /** How the engine builds the layers. */
  readonly description: ModelDescription
  /** What the file calls otherwise, when it is GGUF. */
  readonly stored?: readonly StoredTensor[]
  /** `config.json` as it stands; of a multimodal checkpoint what holds for its text part. */
  readonly raw: Readonly<Json>
}

const storedTypes: readonly string[] = ['float32', 'float16', 'bfloat16']

function readStoredType(config: Fields): StoredType {
  const field = config.has('dtype') ? 'dtype' : 'torch_dtype'
  const name = config.string(field, 'float32').replace(/^torch\./, '')
  if (!storedTypes.includes(name)) config.fail(field, storedTypes.join(', '))
  return name as StoredType
}

/**
 * Reads a config object. Fields that fedlora has no use for are ignored; of a multimodal checkpoint's config, its text part is read.
 * @param where - the file it came from, for messages.
 * @param generation - the contents of `generation_config.json`, when there is one.
 * @throws FedloraError `E_CONFIG` naming the field; `E_UNSUPPORTED` for a family, rope type or quantisation method that does not work.
 */
export function parseModelConfig(whole: Json, where = 'config.json', generation?: Json): ModelConfig {
  const text = textPart(whole, where)
  const raw = text?.config ?? whole
  const config = new Fields(raw, where, text && 'text_config.')
  if (config.object('per_layer_config') !== undefined) {
    throw new FedloraError(
      'E_UNSUPPORTED',
      `${where}: per_layer_config is not supported: every layer must have the same sizes`,
      { field: 'per_layer_config' },
    )
  }
  const family = describeFamily(config)
  const description = text ? { ...family, textPrefixes: [...textPrefixes] } : family
  const ends = new Fields(generation ?? {}, 'generation_config.json').tokenIds('eos_token_id')
  for (const id of config.tokenIds('eos_token_id')) if (!ends.includes(id)) ends.push(id)
  const inRange = (id: number) => id < description.vocabulary
  const [bosTokenId] = config.tokenIds('bos_token_id').filter(inRange)
  const [padTokenId] = config.tokenIds('pad_token_id').filter(inRange)
  return {
    family: description.family,
    ...(text && { textOf: text.of }),
    vocabulary: description.vocabulary,
    hidden: description.hidden,
    layers: description.layers.length,
    heads: description.heads,
    kvHeads: description.kvHeads,
    headDim: description.headDim,
    intermediate: description.intermediate,
    maxPositions: description.maxPositions,
    tiedHead: description.tiedHead,
    storedType: readStoredType(config),
    storedQuantization: readQuantization(config),
    bosTokenId,
    padTokenId,
    endTokenIds: ends.filter(inRange),
    description,
    raw,
  }
}

/** The linear layers of a block stack, in forward order, without the head: what an adapter may sit on. */
export function linearModules(description: ModelDescription): { module: string; shape: [number, number] }[] {
  return native()
    .describeTensors(description)
    .filter(({ role }) => role === 'linear')
    .map(({ module, shape }) => ({ module, shape: shape as [number, number] }))
}
