/** How a model is built, as the engine is told. */

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

/** A tensor that a checkpoint of a description holds. */
export interface ModelTensor {
  role: 'embedding' | 'head' | 'finalNorm' | 'inputNorm' | 'mlpNorm' | 'qNorm' | 'kNorm' | 'linear' | 'bias'
  /** `name` without `.weight` or `.bias`. */
  module: string
  name: string
  /** [out_features, in_features] of a linear layer, [V, hidden] of embedding and head; vectors otherwise. */
  shape: number[]
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
