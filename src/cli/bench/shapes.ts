/** Shapes of published models, so that a step can be timed without their files: what their config.json says. */
import { type ModelConfig, parseModelConfig } from '../../model/config.js'

const llama = { model_type: 'llama', rms_norm_eps: 1e-5, tie_word_embeddings: true }

const configs = {
  'smollm2-135m': {
    ...llama,
    hidden_size: 576,
    intermediate_size: 1536,
    num_hidden_layers: 30,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    vocab_size: 49152,
    max_position_embeddings: 8192,
    rope_theta: 100000,
  },
  'qwen2.5-0.5b': {
    model_type: 'qwen2',
    hidden_size: 896,
    intermediate_size: 4864,
    num_hidden_layers: 24,
    num_attention_heads: 14,
    num_key_value_heads: 2,
    vocab_size: 151936,
    max_position_embeddings: 32768,
    rms_norm_eps: 1e-6,
    rope_theta: 1000000,
    tie_word_embeddings: true,
    use_sliding_window: false,
  },
  'llama-3.2-1b': {
    ...llama,
    hidden_size: 2048,
    intermediate_size: 8192,
    num_hidden_layers: 16,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    vocab_size: 128256,
    max_position_embeddings: 131072,
    rope_theta: 500000,
  },
  'llama-3.1-8b': {
    ...llama,
    hidden_size: 4096,
    intermediate_size: 14336,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    vocab_size: 128256,
    max_position_embeddings: 131072,
    rope_theta: 500000,
    tie_word_embeddings: false,
  },
  'gemma-3-1b': {
    model_type: 'gemma3_text',
    hidden_size: 1152,
    intermediate_size: 6912,
    num_hidden_layers: 26,
    num_attention_heads: 4,
    num_key_value_heads: 1,
    head_dim: 256,
    vocab_size: 262144,
    max_position_embeddings: 32768,
    query_pre_attn_scalar: 256,
    sliding_window: 512,
  },
  'phi-4-mini': {
    model_type: 'phi3',
    hidden_size: 3072,
    intermediate_size: 8192,
    num_hidden_layers: 32,
    num_attention_heads: 24,
    num_key_value_heads: 8,
    vocab_size: 200064,
    max_position_embeddings: 131072,
    original_max_position_embeddings: 4096,
    partial_rotary_factor: 0.75,
    rope_scaling: { type: 'longrope', short_factor: Array<number>(48).fill(1), long_factor: Array<number>(48).fill(2) },
    tie_word_embeddings: true,
  },
  gpt2: {
    model_type: 'gpt2',
    n_embd: 768,
    n_layer: 12,
    n_head: 12,
    n_positions: 1024,
    vocab_size: 50257,
  },
} as const

export type ShapeName = keyof typeof configs
export const shapeNames = Object.keys(configs) as ShapeName[]

export function shapeConfig(name: ShapeName): ModelConfig {
  return parseModelConfig(configs[name], name)
}
