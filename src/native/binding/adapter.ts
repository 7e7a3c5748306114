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

/** What a tensor is to its layer: `…_A` is [rank, in_features], `…_B` [out_features, rank]; those of a residual are frozen. */
export type Part = 'lora_A' | 'lora_B' | 'residual_A' | 'residual_B'

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
  /** `NativeVectors.addNormals` on the flat vector. */
  addNormals(seeds: Float64Array, scales: Float64Array, stream: number, ranges?: Float64Array): void
  gradients(batch: TokenBatch): Promise<{ loss: number; supervised: number; tokens: number; gradients: Float32Array }>
  createSession(options: SessionOptions): NativeSession
  /**
   * Frozen factors beside the trained ones, or null. `ranks`: of each adapted layer, in forward order, 0: none; `values`: for each layer that
   * has some A_res [P,K], then B_res [N,P].
   */
  residual(): { ranks: number[]; values: Float32Array } | null
  /** What a residual of these ranks consists of, in order; named `…<module>.residual_A.weight` and `…residual_B.weight`. */
  residualLayout(ranks: readonly number[]): TensorLayout[]
  setResidual(ranks: readonly number[], values: Float32Array): void
  clearResidual(): void
  /** Takes the very factors of another adapter over the same layers, without a copy; or their absence. */
  shareResidual(from: NativeAdapter): void
  dispose(): void
}
