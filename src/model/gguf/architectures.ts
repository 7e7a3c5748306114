/** llama.cpp's architectures, and the families whose layers they have. */
import { FedloraError } from '../../errors.js'
import type { Json } from '../../files/json.js'
import type { GgufMetadata } from '../../gguf/metadata.js'

/** What a file says of its model's size, for fields that follow from it. */
export interface Sizes {
  layers: number
  hidden: number
  heads: number
  headDim: number
}

export interface Architecture {
  /** `general.architecture`, which also begins the keys of the model. */
  readonly name: string
  /** `model_type` of config.json. */
  readonly family: string
  /** Rows of q and k lie with the halves of each head interleaved. */
  readonly interleaved: boolean
  /** Norms are stored with the 1 that their family adds. */
  readonly wholeNorms?: true
  /** Files of it are written, too. */
  readonly written?: true
  /** Where a layer's names differ from llama's. */
  readonly layerNames?: Readonly<Record<string, string>>
  /** Fields of config.json beside those that all have; `key` adds the architecture's name. */
  config?(metadata: GgufMetadata, key: (name: string) => string, sizes: Sizes): Json
}

const bothSides = {
  post_attention_layernorm: 'post_attention_norm',
  pre_feedforward_layernorm: 'ffn_norm',
  post_feedforward_layernorm: 'post_ffw_norm',
}

/** llama.cpp divides queries by √head_dim, but in the 27B models of Gemma by √(hidden / heads). */
const queryScale = ({ layers, hidden, heads, headDim }: Sizes, layersOf27B: number): number =>
  layers === layersOf27B ? hidden / heads : headDim

const gelu = { hidden_act: 'gelu_pytorch_tanh', hidden_activation: 'gelu_pytorch_tanh' }

export const architectures: readonly Architecture[] = [
  { name: 'llama', family: 'llama', interleaved: true, written: true },
  { name: 'llama', family: 'mistral', interleaved: true, written: true },
  { name: 'qwen2', family: 'qwen2', interleaved: false, written: true },
  { name: 'qwen3', family: 'qwen3', interleaved: false, written: true },
  { name: 'smollm3', family: 'smollm3', interleaved: true },
  { name: 'gemma', family: 'gemma', interleaved: false, wholeNorms: true, config: () => gelu },
  {
    name: 'gemma2',
    family: 'gemma2',
    interleaved: false,
    wholeNorms: true,
    layerNames: bothSides,
    config: (metadata, key, sizes) => ({
      ...gelu,
      query_pre_attn_scalar: queryScale(sizes, 46),
      attn_logit_softcapping: metadata.number(key('attn_logit_softcapping')) ?? 50,
      final_logit_softcapping: metadata.number(key('final_logit_softcapping')) ?? 30,
    }),
  },
  {
    name: 'gemma3',
    family: 'gemma3_text',
    interleaved: false,
    wholeNorms: true,
    layerNames: bothSides,
    config: (metadata, key, sizes) => ({
      ...gelu,
      query_pre_attn_scalar: queryScale(sizes, 62),
      final_logit_softcapping: metadata.number(key('final_logit_softcapping')) ?? null,
      rope_local_base_freq: metadata.number(key('rope.freq_base_swa')) ?? 10000,
      rope_theta: metadata.number(key('rope.freq_base')) ?? 1e6,
    }),
  },
  {
    name: 'phi3',
    family: 'phi3',
    interleaved: false,
    layerNames: { 'self_attn.qkv_proj': 'attn_qkv', 'mlp.gate_up_proj': 'ffn_up' },
    config: (metadata, key) => ({
      original_max_position_embeddings: metadata.whole(key('rope.scaling.original_context_length')),
    }),
  },
  {
    name: 'olmo2',
    family: 'olmo2',
    interleaved: false,
    layerNames: { post_attention_layernorm: 'post_attention_norm', post_feedforward_layernorm: 'post_ffw_norm' },
  },
  {
    name: 'granite',
    family: 'granite',
    interleaved: true,
    config: (metadata, key) => ({
      attention_multiplier: metadata.number(key('attention.scale')) ?? 1,
      embedding_multiplier: metadata.number(key('embedding_scale')) ?? 1,
      residual_multiplier: metadata.number(key('residual_scale')) ?? 1,
      logits_scaling: metadata.number(key('logit_scale')) ?? 1,
    }),
  },
]

const names = [...new Set(architectures.map(({ name }) => name))].join(', ')
const written = architectures.filter((one) => one.written)

/**
 * The architecture that a file names.
 * @throws FedloraError `E_UNSUPPORTED`, by name.
 */
export function architectureNamed(name: string, path: string): Architecture {
  const found = architectures.find((one) => one.name === name)
  if (found !== undefined) return found
  throw new FedloraError(
    'E_UNSUPPORTED',
    `${path}: the architecture '${name}' is not read from GGUF; read are ${names}. Load the model's Hugging Face folder when its family is supported there`,
    { path, architecture: name },
  )
}

/**
 * The architecture that a family is written as.
 * @throws FedloraError `E_UNSUPPORTED`, by name.
 */
export function architectureOf(family: string): Architecture {
  const found = written.find((one) => one.family === family)
  if (found !== undefined) return found
  throw new FedloraError(
    'E_UNSUPPORTED',
    `the family '${family}' is not written as GGUF; written are ${written.map((one) => one.family).join(', ')}. Merge into a folder, and convert it with llama.cpp's convert_hf_to_gguf.py`,
    { family },
  )
}
