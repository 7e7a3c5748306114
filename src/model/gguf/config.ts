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
import { type Architecture, architectureNamed } from './architectures.js'
import { storedTensors } from './names.js'
import { ggufParts } from './parts.js'

const vectors = {
  longFactor: 'rope_factors_long.weight',
  shortFactor: 'rope_factors_short.weight',
  factors: 'rope_freqs.weight',
}

/** A model's file, its parts, and all that their headers list. */
export interface GgufModel {
  readonly files: readonly string[]
  readonly metadata: GgufMetadata
  readonly architecture: Architecture
  /** Names and shapes of the tensors of all parts. */
  readonly tensors: ReadonlyMap<string, readonly number[]>
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
    files,
    metadata,
    architecture: architectureNamed(name, path),
    tensors: new Map(all.map(({ name, shape }) => [name, shape])),
    types: new Map(all.map(({ name, type }) => [name, type])),
  }
}

function refuse(path: string, field: string, why: string): never {
  throw new FedloraError('E_UNSUPPORTED', `${path}: ${field}: ${why}`, { path, field })
}

/** `rope_scaling` of config.json. */
function ropeScaling({ files, metadata, architecture, tensors }: GgufModel): Json | undefined {
  const key = (name: string) => `${architecture.name}.rope.${name}`
  const type = metadata.text(key('scaling.type')) ?? (metadata.has(key('scale_linear')) ? 'linear' : 'none')
  const factor = metadata.number(key('scaling.factor')) ?? metadata.number(key('scale_linear'))
  const original = metadata.whole(key('scaling.original_context_length'))
  const factors = (name: string) => Array.from(native().readGgufVector({ files, name }))
  const long = tensors.has(vectors.longFactor)
  if (type === 'longrope' || long) {
    if (!long || !tensors.has(vectors.shortFactor))
      metadata.fail(key('scaling.type'), `tensors ${vectors.longFactor} and ${vectors.shortFactor}`)
    const attention = metadata.number(key('scaling.attn_factor'))
    return {
      rope_type: 'longrope',
      long_factor: factors(vectors.longFactor),
      short_factor: factors(vectors.shortFactor),
      ...(original !== undefined && { original_max_position_embeddings: original }),
      ...(attention !== undefined && { attention_factor: attention }),
    }
  }
  if (type === 'none' || (type === 'linear' && factor === 1)) return undefined
  if (type === 'linear') return { rope_type: 'linear', factor }
  if (type !== 'yarn')
    return refuse(
      metadata.path,
      key('scaling.type'),
      `rope scaling '${type}' is not supported; supported are none, linear, yarn and longrope`,
    )
  for (const name of ['attn_factor', 'yarn_attn_factor', 'yarn_ext_factor', 'yarn_log_multiplier']) {
    const value = metadata.number(key(`scaling.${name}`)) ?? 1
    if (value !== 1)
      refuse(
        metadata.path,
        key(`scaling.${name}`),
        `${value} is not supported, only 1; load the model's Hugging Face folder`,
      )
  }
  const beta = {
    beta_fast: metadata.number(key('scaling.yarn_beta_fast')),
    beta_slow: metadata.number(key('scaling.yarn_beta_slow')),
  }
  return { rope_type: 'yarn', factor, original_max_position_embeddings: original, ...beta }
}

const storedTypes: Readonly<Record<string, string>> = { F16: 'float16', BF16: 'bfloat16' }

/** config.json, as transformers would write it for this model. */
function asConfig(model: GgufModel): Json {
  const { metadata, architecture, tensors, types } = model
  const key = (name: string) => `${architecture.name}.${name}`
  const needed = (name: string) => metadata.whole(key(name)) ?? metadata.fail(key(name), 'a whole number')
  const heads = needed('attention.head_count')
  const hidden = needed('embedding_length')
  const headDim = metadata.whole(key('attention.key_length')) ?? hidden / heads
  const valueDim = metadata.whole(key('attention.value_length')) ?? headDim
  if (valueDim !== headDim)
    refuse(
      metadata.path,
      key('attention.value_length'),
      `${valueDim} beside a key_length of ${headDim} is not supported`,
    )
  const experts = metadata.whole(key('expert_count')) ?? 0
  if (experts > 0)
    refuse(metadata.path, key('expert_count'), `a mixture of ${experts} experts is not supported; use a dense model`)
  const rotated = metadata.whole(key('rope.dimension_count')) ?? headDim
  const embedding = tensors.get('token_embd.weight')
  if (embedding === undefined) {
    throw new FedloraError(
      'E_MISSING',
      `${metadata.path}: has no tensor token_embd.weight: it is no model, or its vocabulary alone; get the whole model`,
      { path: metadata.path },
    )
  }
  const window = metadata.whole(key('attention.sliding_window')) ?? 0
  const windowed = architecture.name === 'llama' && window > 0
  const scaling = ropeScaling(model)
  const bias = (name: string) => tensors.has(`blk.0.${name}.bias`)
  const sizes = { layers: needed('block_count'), hidden, heads, headDim }
  const end = metadata.endTokenIds()
  const special = (name: string) => metadata.whole(`tokenizer.ggml.${name}_token_id`)
  return {
    model_type: windowed ? 'mistral' : architecture.family,
    vocab_size: embedding[0],
    hidden_size: hidden,
    intermediate_size: needed('feed_forward_length'),
    num_hidden_layers: sizes.layers,
    num_attention_heads: heads,
    num_key_value_heads: metadata.whole(key('attention.head_count_kv')) ?? heads,
    head_dim: headDim,
    max_position_embeddings: needed('context_length'),
    rms_norm_eps:
      metadata.number(key('attention.layer_norm_rms_epsilon')) ??
      metadata.fail(key('attention.layer_norm_rms_epsilon'), 'a number'),
    rope_theta: metadata.number(key('rope.freq_base')) ?? 10000,
    ...(rotated !== headDim && { partial_rotary_factor: rotated / headDim }),
    ...(scaling && { rope_scaling: scaling }),
    sliding_window: window > 0 ? window : null,
    attention_bias: bias('attn_q'),
    mlp_bias: bias('ffn_up'),
    tie_word_embeddings: !tensors.has('output.weight'),
    dtype: storedTypes[types.get('blk.0.attn_q.weight') ?? ''] ?? 'float32',
    bos_token_id: special('bos') ?? null,
    pad_token_id: special('padding') ?? null,
    eos_token_id: end.length > 0 ? end : null,
    ...architecture.config?.(metadata, key, sizes),
  }
}

/** Frequencies by llama.cpp: f_i divided by the factors of the file (llama3's scaling is written as these). */
function divideFrequencies(description: ModelDescription, factors: Float32Array): ModelDescription {
  const ropes = description.ropes.map((rope) => ({
    ...rope,
    inverseFrequencies: rope.inverseFrequencies.map((frequency, i) =>
      Math.fround(frequency / (factors[i] ?? Number.NaN)),
    ),
  }))
  return { ...description, ropes }
}

/**
 * A model's config out of its GGUF file.
 * @throws FedloraError `E_FORMAT` and `E_MISSING` naming the key, `E_UNSUPPORTED` for an architecture, a rope scaling or a mixture of
 * experts, by name, `E_CONFIG`.
 */
export async function ggufConfig(path: string): Promise<ModelConfig> {
  const model = await openGguf(path)
  const config = parseModelConfig(asConfig(model), path)
  const factors = model.tensors.has(vectors.factors)
    ? native().readGgufVector({ files: model.files, name: vectors.factors })
    : undefined
  const whole = model.architecture.wholeNorms ? { ...config.description, normOffset: 0 } : config.description
  const turned = factors === undefined ? whole : divideFrequencies(whole, factors)
  return { ...config, description: turned, stored: storedTensors(turned, model.architecture) }
}
