/** Weight files, read and written: mirror of `native/napi/checkpoint.cpp`. */
import type { NativeAdapter } from './adapter.js'
import type { ModelDescription } from './description.js'
import type { PackedWeights } from './load.js'

export interface TensorEntry {
  name: string
  /** safetensors' spelling: F32, F16, BF16, U8, … */
  dtype: string
  shape: number[]
}

export interface NativeCheckpoint {
  tensors(): TensorEntry[]
  metadata(): Record<string, string>
  /** A plain tensor, converted to float32. */
  read(name: string): Float32Array
  /** A linear weight decoded to float32, whether plain or quantised by bitsandbytes. */
  readWeight(module: string): { shape: [number, number]; data: Float32Array }
  dispose(): void
}

export interface WriteTensor {
  name: string
  shape: number[]
  data: Float32Array
}

export interface QuantizeRequest {
  files: string[]
  output: string
  /** Linear modules to quantise; every other tensor is copied as stored. */
  modules: string[]
  /** Tensors are written under its names; without one, under those they are stored with. */
  description?: ModelDescription
  quantization: 'nf4' | 'fp4' | 'int8'
  doubleQuantization: boolean
  blockSize: 64 | 128
  threads: number
}

export interface MergeRequest {
  files: string[]
  output: string
  adapter: NativeAdapter
  /** How the base's linear weights are packed. */
  packed?: PackedWeights
  threads: number
}
