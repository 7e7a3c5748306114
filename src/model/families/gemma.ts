/**
 * Gemma 1, 2 and 3 (text): norms store weight − 1, embeddings are multiplied by √hidden, gelu. Gemma 2 has norms on both sides of each half,
 * soft caps and windows by turn; Gemma 3 norms of query and key heads instead of caps, and rotary parameters of their own for the windows.
 */
import type { ModelDescription } from '../../native/binding.js'
import type { Fields } from '../fields.js'
import { attentionBiases, describeDecoder, type Traits } from './decoder.js'
import { windowOf, windowsWithRopes } from './windows.js'

const gelu = ['gelu_pytorch_tanh', 'gelu'] // the first releases say gelu, and mean its tanh form

function common(config: Fields): Omit<Traits, 'family' | 'maxPositions'> {
  if (config.boolean('use_bidirectional_attention', false)) {
    config.fail('use_bidirectional_attention', 'false: a decoder attends to earlier tokens alone')
  }
  return {
    headDim: 256,
    tiedHead: true,
    ...attentionBiases(config),
    normOffset: 1,
    embeddingMultiplier: Math.sqrt(config.integer('hidden_size')),
  }
}

const bothSides = {
  beforeAttention: 'input_layernorm',
  afterAttention: 'post_attention_layernorm',
  beforeMlp: 'pre_feedforward_layernorm',
  afterMlp: 'post_feedforward_layernorm',
}

/** A soft cap; null: none. */
function cap(config: Fields, field: string, fallback: number): number {
  return config.values[field] === null ? 0 : config.positive(field, fallback)
}

export function describeGemma(config: Fields): ModelDescription {
  const field = config.has('hidden_activation') ? 'hidden_activation' : 'hidden_act'
  return describeDecoder(config, {
    ...common(config),
    family: 'gemma',
    kvHeads: 16,
    maxPositions: 8192,
    activation: { field, kind: 'gelu_tanh', names: gelu },
  })
}

/** What the second and third have in common; the caps are those of a silent config. */
function commonFrom2(config: Fields, caps: { attention: number; logits: number }) {
  return {
    ...common(config),
    kvHeads: 4,
    activation: { field: 'hidden_activation', kind: 'gelu_tanh', names: gelu.slice(0, 1) },
    norms: bothSides,
    attentionScale: 1 / Math.sqrt(config.positive('query_pre_attn_scalar', 256)),
    attentionSoftCap: cap(config, 'attn_logit_softcapping', caps.attention),
    logitSoftCap: cap(config, 'final_logit_softcapping', caps.logits),
  } satisfies Partial<Traits>
}

export function describeGemma2(config: Fields): ModelDescription {
  return describeDecoder(config, {
    ...commonFrom2(config, { attention: 50, logits: 30 }),
    family: 'gemma2',
    maxPositions: 8192,
    window: windowOf(config, 4096, (index) => index % 2 === 0),
  })
}

export function describeGemma3(config: Fields): ModelDescription {
  const name = config.has('sliding_window_pattern') ? 'sliding_window_pattern' : '_sliding_window_pattern'
  const pattern = config.integer(name, 6)
  const window = windowOf(config, 4096, (index) => (index + 1) % pattern !== 0)
  return describeDecoder(config, {
    ...commonFrom2(config, { attention: 0, logits: 0 }),
    family: 'gemma3_text',
    maxPositions: 131072,
    queryKeyNorm: 'head',
    ...windowsWithRopes(config, window, { full: 1e6, sliding: 1e4, slidingName: 'rope_local_base_freq' }),
  })
}
