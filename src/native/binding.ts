/**
 * The addon as TypeScript sees it: a typed mirror of `native/napi`. Only `src/native` touches the addon.
 * Every long call runs on an engine thread of its own and returns a promise; typed arrays are copied before it starts. Codecs and
 * aggregation run at once, on the caller's thread and helpers beside it, over the arrays where they lie.
 * Failures reject or throw with `code` set to one of `errorCodes`; `src/native/load.ts` turns them into `FedloraError`.
 */
import type { ErrorCode } from '../errors.js'

export type Quantization = 'none' | 'bf16' | 'int8' | 'nf4' | 'fp4'
export type Compute = 'f32' | 'bf16'
export type Recompute = 'none' | 'gate-up' | 'all'

/** How a family's layers are built. Says more than the engine runs today: `Model.load` refuses by name what it cannot run. */
export interface ModelDescription {
  family: string
  vocabulary: number
  hidden: number
  heads: number
  kvHeads: number
  headDim: number
  intermediate: number
  maxPositions: number
  norm: 'rms' | 'layer'
  normEpsilon: number
  /** Added to every stored norm weight (gemma stores weight − 1). */
  normOffset: number
  normPlacement: 'before' | 'after' | 'both'
  /** Norm of q and k: none, each head (qwen3), or the whole projection (olmo2). */
  queryKeyNorm: 'none' | 'head' | 'projection'
  activation: 'silu' | 'gelu_tanh' | 'relu'
  gated: boolean
  attentionScale: number
  /** 0: none. */
  attentionSoftCap: number
  /** 0: none. */
  logitSoftCap: number
  embeddingMultiplier: number
  residualMultiplier: number
  logitsDivider: number
  tiedHead: boolean
  /** Weights stored [in, out] (GPT-2's Conv1D). */
  transposedLinears: boolean
  learnedPositions: boolean
  /** Rotary tables: `layers[i].rope` indexes this list; −1 = no rotation in that layer. */
  ropes: { inverseFrequencies: number[]; attentionFactor: number }[]
  layers: LayerDescription[]
  names: { embedding: string; positions?: string; finalNorm: string; head: string }
}

/** Full tensor names without `.weight` / `.bias`; absent = the layer has no such part. */
export interface LayerDescription {
  /** Keys a query sees, itself included; 0 = all. */
  window: number
  rope: number
  inputNorm?: string
  attentionOutputNorm?: string
  mlpInputNorm?: string
  mlpOutputNorm?: string
  q?: string
  k?: string
  v?: string
  /** q, k and v in one matrix, in this order. */
  qkv?: string
  o: string
  qNorm?: string
  kNorm?: string
  gate?: string
  up?: string
  /** gate and up in one matrix, in this order. */
  gateUp?: string
  down: string
  attentionBias: boolean
  outputBias: boolean
  mlpBias: boolean
}

export interface LoadOptions {
  files: string[]
  description: ModelDescription
  quantization: Quantization
  doubleQuantization: boolean
  blockSize: 64 | 128
  compute: Compute
  threads: number
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

/** One adapted linear layer; `module` is its full name without `.weight`, such as `model.layers.0.self_attn.q_proj`. */
export interface AdapterLayer {
  module: string
  rank: number
  scaling: number
  dropout: number
}

/** Where a tensor lies in the adapter's flat vector. `name` is PEFT's: `base_model.model.<module>.lora_A.weight`. */
export interface TensorLayout {
  name: string
  shape: [number, number]
  offset: number
  length: number
}

/** Rows concatenated without padding. `labels[i]` belongs to `ids[i]` as in Hugging Face (−100: not supervised); the engine shifts within each row. */
export interface TokenBatch {
  ids: Int32Array
  labels: Int32Array
  lengths: Int32Array
}

export interface OptimizerOptions {
  kind: 'adamw' | 'sgd'
  beta1: number
  beta2: number
  epsilon: number
  weightDecay: number
  /** SGD only; 0: none. */
  momentum: number
}

export interface SessionOptions {
  optimizer: OptimizerOptions
  /** 0: no clipping. */
  maxGradNorm: number
  dropoutSeed: number
  recompute: Recompute
}

export interface StepResult {
  /** Mean over all supervised tokens of the step, all micro-batches together. */
  loss: number
  /** 2-norm before clipping. */
  gradNorm: number
  tokens: number
  supervised: number
  /** True when cancel() stopped it between micro-batches: nothing was updated. */
  cancelled: boolean
}

/** One session's part of a common step. */
export interface SessionStep {
  session: NativeSession
  batches: TokenBatch[]
  learningRate: number
}

/** What `step` would give; `error` is what it would reject with, and the numbers then mean nothing. */
export interface StepOutcome extends StepResult {
  error?: NativeFailure
}

export interface SessionState {
  step: number
  moment1: Float32Array
  moment2: Float32Array
}

export interface EvaluationSums {
  lossSum: number
  correct: number
  supervised: number
  tokens: number
}

export interface GenerationOptions {
  ids: Int32Array
  maxTokens: number
  /** 0: greedy. */
  temperature: number
  /** 0: off. */
  topK: number
  /** 1: off. */
  topP: number
  seed: number
  endIds: Int32Array
}

export interface PlanRequest {
  tokens: number
  rows: number
  longestRow: number
  supervised: number
  recompute: Recompute
  optimizer: 'adamw' | 'sgd'
  /** In training at the same time; default 1. */
  adapters?: number
  layers: AdapterLayer[]
}

/** Bytes by part of a training step. */
export interface MemoryPlan {
  weights: number
  adapter: number
  saved: number
  workspace: number
  loss: number
  total: number
}

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

/** Calls of one operator and the seconds they took. */
export interface ProfileEntry {
  op: string
  calls: number
  seconds: number
}

export interface NativeModel {
  readonly memory: ModelMemory
  /** Adaptable linear layers, in forward order. */
  linears(): { module: string; shape: [number, number]; format: string }[]
  /** Tensors of the checkpoint that the description has no use for. */
  unused(): string[]
  plan(request: PlanRequest): MemoryPlan
  createAdapter(layers: AdapterLayer[], seed: number): NativeAdapter
  /** Flat logits [Σ lengths, V]. */
  logits(adapter: NativeAdapter | null, ids: Int32Array, lengths: Int32Array): Promise<Float32Array>
  evaluate(adapter: NativeAdapter | null, batch: TokenBatch): Promise<EvaluationSums>
  generate(adapter: NativeAdapter | null, options: GenerationOptions): NativeGeneration
  /**
   * One optimiser step of each session, their micro-batches side by side in passes of up to `mostTokens` tokens (a larger one goes
   * alone). Each session gets the bits, or the failure, of its own `step`. Cancelling one of them stops all.
   */
  stepTogether(steps: SessionStep[], mostTokens: number): Promise<StepOutcome[]>
  /** Calls and seconds of each operator so far; empty unless `FEDLORA_PROFILE` was set when the model was loaded. */
  profile(): ProfileEntry[]
  dispose(): void
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

/** Optimiser state over one adapter; one call at a time (`E_BUSY`). */
export interface NativeSession {
  step(batches: TokenBatch[], learningRate: number): Promise<StepResult>
  /** Stops the step in flight between micro-batches. */
  cancel(): void
  state(): SessionState
  restore(state: SessionState): void
  dispose(): void
}

/** Why a generation ended: an end token; `maxTokens` or the model's last position; `cancel()`. */
export type FinishReason = 'stop' | 'length' | 'aborted'

export interface GeneratedTokens {
  /** An end token is included, as the last one. */
  ids: Int32Array
  done: boolean
  /** Set exactly when `done`. */
  finishReason?: FinishReason
  promptTokens: number
  /** Generated so far, this call's and an end token included. */
  completionTokens: number
}

/**
 * One prompt being continued. Between its calls other work of the model goes on; the adapter may not change: the next call is then
 * `E_BUSY`, and the generation is over.
 */
export interface NativeGeneration {
  /**
   * Up to `count` further tokens, fewer when the generation ends; none after that. The prompt runs with the first call. Tokens made before
   * a failure are given first; the next call fails.
   */
  next(count: number): Promise<GeneratedTokens>
  /** Ends the generation, the prompt's pass included: the call in flight resolves at once with what there is. */
  cancel(): void
  dispose(): void
}

export interface NativeAggregator {
  readonly length: number
  readonly count: number
  readonly totalWeight: number
  /** Decodes the message tile by tile and adds it; refused messages leave the sum unchanged. */
  add(message: Uint8Array, weight: number): void
  /** Several at once, all or none, which is faster than one after the other: each stretch of the sum takes all of them. */
  addAll(messages: Uint8Array[], weights: number[]): void
  /** Written into `into` when it is given, which saves a new array. */
  mean(into?: Float32Array): Float32Array
  reset(): void
  dispose(): void
}

/** How {@link NativeTokenizer} encodes. */
export interface TextOptions {
  /** Puts the special tokens around the text that its post-processor names. */
  specialTokens: boolean
  offsets: boolean
  /** The text goes on from another one: what begins it takes no dummy prefix. */
  continues: boolean
}

/** Ids of texts, one text after the other. */
export interface TextEncodings {
  ids: Int32Array
  /** By text, where its ids begin; one more at the end. */
  starts: Int32Array
  /** By id, UTF-16 code units of its text; 0, 0 for special tokens around it. Only when asked for. */
  begins?: Int32Array
  ends?: Int32Array
}

export interface NativeTokenizer {
  readonly description: {
    /** BPE, Unigram, WordPiece or WordLevel. */
    model: string
    /** One more than the largest id. */
    vocabularySize: number
    specialTokens: number[]
    prefix: number[]
    suffix: number[]
  }
  encode(text: string, options: TextOptions): TextEncodings
  /** On threads of the addon, `threads` at most; 0: all cores. */
  encodeMany(texts: string[], options: TextOptions & { threads: number }): Promise<TextEncodings>
  decode(ids: Int32Array, skipSpecialTokens: boolean): string
  /** −1 when there is no such token. */
  tokenId(token: string): number
  dispose(): void
}

export interface EncodeOptions {
  codec: 'f32' | 'bf16' | 'int8' | 'int4' | 'topk'
  density: number
  bits: 2 | 4 | 8
  seed: number
  /** The residual array takes the new residual; after an error it is as it was. Default: a new array. */
  inPlace?: boolean | undefined
  /** Default: all cores. */
  threads?: number | undefined
}

export interface NativeInfo {
  version: string
  cpu: string
  isa: string
  detectedIsa: string
  cores: number
  kernels: { kernel: string; isa: string }[]
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
  threads: number
}

export interface LinearBench {
  M: number
  K: number
  N: number
  compute: Compute
  threads: number
  rounds: number
  /** Rank 0: no adapter. */
  candidates: { format: 'bf16' | 'int8' | 'nf4' | 'fp4'; rank: number }[]
}

export interface AttentionBench {
  sequences: number
  /** Tokens of a row. */
  length: number
  heads: number
  kvHeads: number
  headDim: number
  /** Keys that a query sees; 0: all before it. */
  window: number
  compute: Compute
  threads: number
  rounds: number
}

/** Timings beside the machine's peak, a round each: flop/s on one thread and on all, seconds of a call of every candidate. */
export interface KernelReport {
  rounds: { roofOne: number; roof: number; forward: number[]; backward: number[] }[]
  /** Of a call of every candidate. */
  forwardFlop: number[]
  backwardFlop: number[]
  /** Largest difference to a sum in double, as a share of the sum of magnitudes. */
  worstError: number
}

export interface Native {
  info(): NativeInfo
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
  /** Cosine of the angle between two vectors, in double over fixed blocks. */
  cosine(a: Float32Array, b: Float32Array): number
}

/** What a native failure looks like before it is wrapped. */
export interface NativeFailure extends Error {
  code: ErrorCode
}
