/** The trainable part: mirror of `native/napi/adapter.cpp`. */
import type { TokenBatch } from './batch.js'
import type { NativeSession, SessionOptions } from './session.js'

/** One adapted linear layer; `module` is its full name without `.weight`, such as `model.layers.0.self_attn.q_proj`. */
export interface AdapterLayer {
  module: string
  rank: number
  scaling: number
  dropout: number
}

/** What a tensor is to its layer: `lora_A` is [rank, in_features], `lora_B` [out_features, rank]. */
export type Part = 'lora_A' | 'lora_B'

/** Where a tensor lies in the adapter's flat vector. `name` is PEFT's: `base_model.model.<module>.lora_A.weight`. */
export interface TensorLayout {
  name: string
  part: Part
  shape: [number, number]
  offset: number
  length: number
}

export interface NativeAdapter {
  layout(): TensorLayout[]
  readonly length: number
  /** A copy of the flat vector. */
  read(): Float32Array
  write(values: Float32Array): void
  gradients(batch: TokenBatch): Promise<{ loss: number; supervised: number; tokens: number; gradients: Float32Array }>
  createSession(options: SessionOptions): NativeSession
  dispose(): void
}
