/**
 * The addon as TypeScript sees it: a typed mirror of `native/napi`, in `binding/` one file an object. Only `src/native` touches it.
 * Every long call runs on an engine thread of its own and returns a promise; typed arrays are copied before it starts. Codecs and
 * aggregation run at once, on the caller's thread and helpers beside it, over the arrays where they lie.
 * Failures reject or throw with `code` set to one of `errorCodes`; `src/native/load.ts` turns them into `FedloraError`.
 */
import type { AdapterLayer, TensorLayout } from './binding/adapter.js'
import type { AttentionBench, KernelReport, LinearBench } from './binding/bench.js'
import type { MergeRequest, NativeCheckpoint, QuantizeRequest, WriteTensor } from './binding/checkpoint.js'
import type { EncodeOptions, NativeAggregator } from './binding/codec.js'
import type { CudaInfo } from './binding/cuda.js'
import type { ModelDescription, ModelTensor } from './binding/description.js'
import type { FactorAlgebra } from './binding/factors.js'
import type { NativeGguf } from './binding/gguf.js'
import type { Compute, LoadOptions } from './binding/load.js'
import type { NativeMasking } from './binding/masking.js'
import type { NativeModel } from './binding/model.js'
import type { NativeOrder } from './binding/order.js'
import type { MemoryPlan, PlanRequest } from './binding/plan.js'
import type { NativeTokenizer } from './binding/tokenizer.js'
import type { NativeVectors } from './binding/vectors.js'

export type * from './binding/adapter.js'
export type * from './binding/batch.js'
export type * from './binding/bench.js'
export type * from './binding/checkpoint.js'
export type * from './binding/codec.js'
export type * from './binding/cuda.js'
export type * from './binding/description.js'
export type * from './binding/factors.js'
export type * from './binding/failure.js'
export type * from './binding/generation.js'
export type * from './binding/gguf.js'
export type * from './binding/load.js'
export type * from './binding/masking.js'
export type * from './binding/model.js'
export type * from './binding/order.js'
export type * from './binding/plan.js'
export type * from './binding/session.js'
export type * from './binding/tokenizer.js'
export type * from './binding/vectors.js'

export interface NativeInfo {
  version: string
  cpu: string
  isa: string
  detectedIsa: string
  /** The levels of this architecture, weakest first, with what a processor must offer. */
  levels: { isa: string; needs: string }[]
  cores: number
  kernels: { kernel: string; isa: string }[]
}

export interface Native extends NativeVectors, NativeGguf, NativeOrder, NativeMasking, FactorAlgebra {
  info(): NativeInfo
  /** What there is of CUDA; `libraries` are the files that may be the library. */
  cudaInfo(libraries: readonly string[]): CudaInfo
  /** Current and peak resident memory of this process. */
  processMemory(): { residentBytes: number; peakBytes: number }
  openCheckpoint(files: string[]): NativeCheckpoint
  loadModel(options: LoadOptions, progress?: (done: number, total: number) => void): Promise<NativeModel>
  /** Random weights made in their packed form, for benchmarks: no file is read; `files` is ignored. */
  randomModel(options: LoadOptions, seed: number): Promise<NativeModel>
  /** Peak arithmetic in flop/s, all threads together; blocks for about `seconds`. */
  measureRoof(compute: Compute, threads: number, seconds: number): number
  /** Peak of reading memory that no cache holds, in bytes/s, all threads together; blocks for about `seconds` and a moment more. */
  measureReadBandwidth(threads: number, seconds: number): number
  /** Times one layer's forward and backward for every candidate in turn; blocks. */
  benchLoraLinear(options: LinearBench): KernelReport
  /** Times causal attention over rows of one length, forward and backward; blocks. */
  benchAttention(options: AttentionBench): KernelReport
  /** The tensors of a model, in the order of loading: the tables, the final norm, then block by block norms and linear layers in forward order. */
  describeTensors(description: ModelDescription): ModelTensor[]
  /** Where the tensors of an adapter would lie that sits on these layers; or, with ranks, those of a residual beside it. */
  layOutAdapter(
    description: ModelDescription,
    layers: AdapterLayer[],
    residualRanks: readonly number[] | null,
  ): TensorLayout[]
  /** The values that `NativeModel.createAdapter` begins with, bit for bit. */
  initialAdapter(description: ModelDescription, layers: AdapterLayer[], seed: number): Float32Array
  /** The plan of a model that is not loaded: only the checkpoint's headers are read. */
  planModel(options: LoadOptions, request: PlanRequest): MemoryPlan
  writeSafetensors(path: string, tensors: WriteTensor[], metadata: Record<string, string>): void
  quantizeCheckpoint(request: QuantizeRequest): Promise<{ tensors: number; bytes: number }>
  mergeCheckpoint(request: MergeRequest): Promise<{ tensors: number; merged: number; bytes: number }>
  /** `residual` is read and, unless `inPlace`, not changed; the new one is returned (null when none was given). */
  encodeUpdate(
    update: Float32Array,
    residual: Float32Array | null,
    options: EncodeOptions,
  ): { bytes: Uint8Array; residual: Float32Array | null }
  /** Written into `into` when it is given, which saves a new array. */
  decodeUpdate(bytes: Uint8Array, threads?: number, into?: Float32Array): Float32Array
  createAggregator(length: number, threads?: number): NativeAggregator
  /** Reads the bytes of a tokenizer.json; `changes` is JSON, see native/tokenizer/read.cpp. */
  openTokenizer(file: Uint8Array, changes: string): Promise<NativeTokenizer>
}
