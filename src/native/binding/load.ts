/** How a model's weights are held. */
import type { Device } from './cuda.js'
import type { ModelDescription, StoredTensor } from './description.js'

export type Quantization = 'none' | 'bf16' | 'int8' | 'nf4' | 'fp4'
export type Compute = 'f32' | 'bf16'

/** `block`: rows and columns that share a scale (fp8). */
export interface PackedWeights {
  format: 'gptq' | 'gptq_v2' | 'awq' | 'fp8'
  block?: readonly [number, number]
}

export interface LoadOptions {
  files: string[]
  description: ModelDescription
  /** What a GGUF file calls otherwise, or stores in another order of rows. */
  stored?: readonly StoredTensor[]
  /** How GPTQ, AWQ or FP8 has packed the linear weights. */
  packed?: PackedWeights
  quantization: Quantization
  doubleQuantization: boolean
  blockSize: 64 | 128
  compute: Compute
  threads: number
  /** Default: the CPU. */
  device?: Device
  /** Files that may be the CUDA library; needed for a CUDA device. */
  cudaLibraries?: readonly string[]
}

/** Bytes by kind. */
export interface ModelMemory {
  linears: number
  embedding: number
  head: number
  norms: number
  ropes: number
  total: number
}
