/**
 * A GGUF file's metadata as the config.json that its model would have, so that a model is described in one place, whatever file it is in.
 * Source: github.com/ggml-org/ggml, docs/gguf.md; llama.cpp, src/llama-arch.cpp.
 */
import { FedloraError } from '../../errors.js'
import type { Json } from '../../files/json.js'
import { type GgufMetadata, readGguf } from '../../gguf/metadata.js'
import type { ModelDescription } from '../../native/binding.js'
import { native } from '../../native/load.js'
import { type ModelConfig, parseModelConfig } from '../config.js'
import { architectureNamed } from './architectures.js'
import { readKeys } from './keys.js'
import { storedTensors } from './names.js'
import { ggufParts } from './parts.js'
import { readRopeKeys, ropeVectors } from './rope.js'
import { type GgufSource, keyOf } from './source.js'
import { readWindowKeys, saidWindow } from './windows.js'

/** A model's file, its parts, and all that their headers list. */
export interface GgufModel extends GgufSource {
  readonly types: ReadonlyMap<string, string>
}

/** Opens the headers of a model. @throws FedloraError as `readGguf`; `E_MISSING`, `E_UNSUPPORTED`. */
async function openGguf(path: string): Promise<GgufModel> {
  const metadata = readGguf(path)
  const files = await ggufParts(path, metadata)
  const name = metadata.text('general.architecture') ?? metadata.fail('general.architecture', 'the name of one')
  const kind = metadata.text('general.type')
  if (kind === 'adapter') {
    throw new FedloraError(
      'E_UNSUPPORTED',
      `${path}: is an adapter in GGUF, which is not read; load the PEFT folder that it was made from with loadAdapter`,
      { path },
    )
  }
  const all = files.flatMap((file, i) => (i === 0 ? metadata : readGguf(file)).tensors)
  return {
    metadata,
    architecture: architectureNamed(name, saidWindow(metadata, name) > 0, path),
    tensors: new Map(all.map(({ name, shape }) => [name, shape])),
    types: new Map(all.map(({ name, type }) => [name, type])),
    vector: (name) => native().readGgufVector({ files, name }),
  }
}

function refuse(path: string, field: string, why: string): never {
  throw new FedloraError('E_UNSUPPORTED', `${path}: ${field}: ${why}`, { path, field })
}

const storedTypes: Readonly<Record<string, string>> = { F16: 'float16', BF16: 'bfloat16' }

/** What the file must not say. */
function refuseOthers(source: GgufSource, headDim: number): void {
  const { metadata } = source
  const key = (name: string) => keyOf(source, name)
  const valueDim = metadata.whole(key('attention.value_length')) ?? headDim
  if (valueDim !== headDim) {
    const why = `${valueDim} beside a key_length of ${headDim} is not supported`
    refuse(metadata.path, key('attention.value_length'), why)
  }
  const experts = metadata.whole(key('expert_count')) ?? 0
  if (experts > 0)
    refuse(metadata.path, key('expert_count'), `a mixture of ${experts} experts is not supported; use a dense model`)
}

function vocabularyOf({ metadata, tensors }: GgufSource): number | undefined {
  const embedding = tensors.get('token_embd.weight')
  if (embedding !== undefined) return embedding[0]
  throw new FedloraError(
    'E_MISSING',
    `${metadata.path}: has no tensor token_embd.weight: it is no model, or its vocabulary alone; get the whole model`,
    { path: metadata.path },
  )
}

/** Special tokens as config.json has them. */
function tokenFields(metadata: GgufMetadata): Json {
  const end = metadata.endTokenIds()
  const special = (name: string) => metadata.whole(`tokenizer.ggml.${name}_token_id`) ?? null
  return { bos_token_id: special('bos'), pad_token_id: special('padding'), eos_token_id: end.length > 0 ? end : null }
}

/** config.json, as transformers would write it for this model. */
function asConfig(source: GgufSource): Json {
  const { metadata, architecture, tensors } = source
  const { fields, said } = readKeys(architecture.keys, metadata, architecture.name)
  const headDim = Number(said['attention.key_length'])
  refuseOthers(source, headDim)
  const bias = (...names: string[]) => names.some((name) => tensors.has(`blk.0.${name}.bias`))
  return {
    model_type: architecture.family,
    vocab_size: vocabularyOf(source),
    ...fields,
    ...readRopeKeys(source, headDim),
    ...readWindowKeys(source, Number(said.block_count)),
    attention_bias: bias('attn_q', 'attn_qkv'),
    mlp_bias: bias('ffn_up'),
    tie_word_embeddings: !tensors.has('output.weight'),
    ...tokenFields(metadata),
    ...architecture.config?.(said),
  }
}

/** Frequencies by llama.cpp: f_i divided by the factors of the file (llama3's scaling is written as these). */
function divideFrequencies(description: ModelDescription, factors: ArrayLike<number>): ModelDescription {
  const ropes = description.ropes.map((rope) => ({
    ...rope,
    inverseFrequencies: rope.inverseFrequencies.map((frequency, i) => Math.fround(frequency / factors[i]!)),
  }))
  return { ...description, ropes }
}

/**
 * A source's model. Names are not those of its tensors: see `storedTensors`.
 * @throws FedloraError `E_FORMAT` and `E_MISSING` naming the key, `E_UNSUPPORTED` for a rope scaling or a mixture of experts, by name,
 * `E_CONFIG`.
 */
export function describeGguf(source: GgufSource, dtype = 'float32'): ModelConfig {
  const { metadata, architecture, tensors } = source
  const config = parseModelConfig({ ...asConfig(source), dtype }, metadata.path)
  const whole = architecture.wholeNorms ? { ...config.description, normOffset: 0 } : config.description
  const factors = tensors.has(ropeVectors.factors) ? source.vector(ropeVectors.factors) : undefined
  return { ...config, description: factors === undefined ? whole : divideFrequencies(whole, factors) }
}

/** A model's config out of its GGUF file. @throws FedloraError as `openGguf` and `describeGguf`. */
export async function ggufConfig(path: string): Promise<ModelConfig> {
  const model = await openGguf(path)
  const matrix = model.types.get('blk.0.attn_q.weight') ?? model.types.get('blk.0.attn_qkv.weight')
  const config = describeGguf(model, storedTypes[matrix ?? ''])
  return { ...config, stored: storedTensors(config.description, model.architecture) }
}
