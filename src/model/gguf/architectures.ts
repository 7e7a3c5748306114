/**
 * llama.cpp's architectures, the families whose layers they have, and what llama.cpp can say of them: reading and writing go by this table.
 * Source: github.com/ggml-org/llama.cpp, src/models/*.cpp and conversion/*.py (b11549).
 */
import { FedloraError } from '../../errors.js'
import type { Json } from '../../files/json.js'
import { decoderKeys, type Key, plainKeys, type Said } from './keys.js'

export interface Architecture {
  /** `general.architecture`, which also begins the keys of the model. */
  readonly name: string
  /** `model_type` of config.json. */
  readonly family: string
  readonly keys: readonly Key[]
  /** Other fields of config.json, fixed or following from the keys. */
  config?(said: Said): Json
  /** The family is this one when the file has a window. */
  readonly windowed?: true
  /** Rows of q and k lie with the halves of each head interleaved. */
  readonly interleaved?: true
  /** Norms are stored with the 1 that their family adds. */
  readonly wholeNorms?: true
  /** llama.cpp applies windows: `absent`, where the file has none, and in all layers but every `stride`-th where it lists none. Left out: in none. */
  readonly windows?: { readonly stride: number; readonly absent: number }
  /** Layers with a window turn by a theta of their own; this one where the file has none. */
  windowTheta?(theta: number): number
  /** The file says its window even where it is 0, for older versions of llama.cpp. */
  readonly saysWindow?: true
  /** Rope types beside default, linear and yarn. */
  readonly ropes?: readonly ('llama3' | 'longrope')[]
  /** Betas and temperatures of YaRN are read from the file. */
  readonly tunedYarn?: true
  /** Biases of linear layers, beside those of q, k and v: each may be there, or all must. Left out: none. */
  readonly biases?: 'optional' | 'required'
  /** The head is the embedding, always; or is stored, even where it is the embedding. */
  readonly head?: 'tied' | 'stored'
  /** Heads must make up the hidden size. */
  readonly square?: true
  /** What llama.cpp computes otherwise, whatever the file says. */
  readonly otherwise?: string
}

const llama = { name: 'llama', keys: decoderKeys, interleaved: true, biases: 'optional' } as const

/** llama.cpp divides queries by √head_dim, but in the 27B models of Gemma by √(hidden / heads). */
const queryScale = (said: Said, layersOf27B: number): number =>
  said.block_count === layersOf27B
    ? Number(said.embedding_length) / Number(said['attention.head_count'])
    : Number(said['attention.key_length'])

const gelu = { hidden_act: 'gelu_pytorch_tanh', hidden_activation: 'gelu_pytorch_tanh' }

const logitCap: Key = {
  key: 'final_logit_softcapping',
  field: 'final_logit_softcapping',
  type: 'number',
  of: ({ logitSoftCap }) => logitSoftCap || undefined,
}
const attentionCap: Key = {
  key: 'attn_logit_softcapping',
  field: 'attn_logit_softcapping',
  type: 'number',
  of: ({ attentionSoftCap }) => attentionSoftCap || undefined,
}

const multipliers: readonly Key[] = [
  {
    key: 'attention.scale',
    field: 'attention_multiplier',
    type: 'number',
    of: ({ attentionScale }) => attentionScale,
    absent: (said) => 1 / Math.sqrt(Number(said['attention.key_length'])),
  },
  {
    key: 'embedding_scale',
    field: 'embedding_multiplier',
    type: 'number',
    of: ({ embeddingMultiplier }) => embeddingMultiplier,
    absent: 1,
  },
  {
    key: 'residual_scale',
    field: 'residual_multiplier',
    type: 'number',
    of: ({ residualMultiplier }) => residualMultiplier,
    absent: 1,
  },
  { key: 'logit_scale', field: 'logits_scaling', type: 'number', of: ({ logitsDivider }) => logitsDivider, absent: 1 },
]

/** What the older shape has in common. */
const plain = { biases: 'required', square: true } as const

export const architectures: readonly Architecture[] = [
  { ...llama, family: 'llama', ropes: ['llama3', 'longrope'] },
  { ...llama, family: 'mistral', windowed: true, ropes: ['llama3', 'longrope'] },
  {
    ...llama,
    name: 'mistral3',
    family: 'ministral3',
    ropes: ['llama3', 'longrope'],
    tunedYarn: true,
  },
  {
    ...llama,
    name: 'granite',
    family: 'granite',
    keys: [...decoderKeys, ...multipliers],
    ropes: ['llama3', 'longrope'],
  },
  { name: 'smollm3', family: 'smollm3', keys: decoderKeys, interleaved: true },
  { name: 'qwen2', family: 'qwen2', keys: decoderKeys },
  { name: 'qwen3', family: 'qwen3', keys: decoderKeys },
  { name: 'gemma', family: 'gemma', keys: decoderKeys, wholeNorms: true, head: 'tied', config: () => gelu },
  {
    name: 'gemma2',
    family: 'gemma2',
    keys: [...decoderKeys, { ...attentionCap, absent: 50 }, { ...logitCap, absent: 30 }],
    wholeNorms: true,
    head: 'tied',
    windows: { stride: 2, absent: 4096 },
    config: (said) => ({ ...gelu, query_pre_attn_scalar: queryScale(said, 46) }),
  },
  {
    name: 'gemma3',
    family: 'gemma3_text',
    keys: [...decoderKeys, { ...logitCap, absent: null }],
    wholeNorms: true,
    windows: { stride: 6, absent: 0 },
    windowTheta: () => 10000,
    config: (said) => ({ ...gelu, query_pre_attn_scalar: queryScale(said, 62) }),
  },
  { name: 'olmo2', family: 'olmo2', keys: decoderKeys, head: 'stored', square: true },
  {
    name: 'olmo2',
    family: 'olmo3',
    keys: decoderKeys,
    head: 'stored',
    square: true,
    windowed: true,
    windows: { stride: 4, absent: 0 },
    windowTheta: (theta) => theta,
  },
  { name: 'phi3', family: 'phi3', keys: decoderKeys, square: true, saysWindow: true, ropes: ['longrope'] },
  { ...plain, name: 'phi2', family: 'phi', keys: plainKeys('layer_norm_eps'), head: 'stored' },
  { ...plain, name: 'starcoder2', family: 'starcoder2', keys: plainKeys('norm_epsilon') },
  {
    ...plain,
    name: 'gptneox',
    family: 'gpt_neox',
    keys: [
      ...plainKeys('layer_norm_eps'),
      {
        key: 'use_parallel_residual',
        field: 'use_parallel_residual',
        type: 'flag',
        of: ({ parallel }) => parallel,
      },
    ],
    head: 'stored',
    otherwise: 'llama.cpp computes GELU by its tanh form: logits differ by about 0.001',
  },
  {
    ...plain,
    name: 'gpt2',
    family: 'gpt2',
    keys: plainKeys('layer_norm_epsilon', {
      block_count: 'n_layer',
      context_length: 'n_positions',
      embedding_length: 'n_embd',
      feed_forward_length: 'n_inner',
      'attention.head_count': 'n_head',
    }),
  },
  {
    ...plain,
    name: 'bloom',
    family: 'bloom',
    keys: plainKeys('layer_norm_epsilon', {
      block_count: 'n_layer',
      context_length: 'seq_length',
      'attention.head_count': 'n_head',
    }),
  },
]

const names = [...new Set(architectures.map(({ name }) => name))].join(', ')

/**
 * The architecture that a file names.
 * @throws FedloraError `E_UNSUPPORTED`, by name.
 */
export function architectureNamed(name: string, windowed: boolean, path: string): Architecture {
  const found = architectures.filter((one) => one.name === name)
  const own = found.find((one) => (one.windowed ?? false) === windowed) ?? found[0]
  if (own !== undefined) return own
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
  const found = architectures.find((one) => one.family === family)
  if (found !== undefined) return found
  throw new FedloraError(
    'E_UNSUPPORTED',
    `the family '${family}' is not written as GGUF, because llama.cpp has no architecture for it; written are ${architectures.map((one) => one.family).join(', ')}. Merge into a folder (format 'safetensors')`,
    { family },
  )
}
