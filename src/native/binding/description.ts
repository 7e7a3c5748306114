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
  /** What the norms of q and k, in layers that have them, take at a time: each head (qwen3), or the whole projection (olmo2). */
  queryKeyNorm: 'head' | 'projection'
  activation: 'silu' | 'gelu_tanh' | 'relu' | 'gelu'
  /** The MLP multiplies activate(gate) by up. */
  gated: boolean
  /** Both halves of a block read the stream at its entry; without `beforeMlp` they share a norm. */
  parallel: boolean
  attentionScale: number
  /** 0: none. */
  attentionSoftCap: number
  /** 0: none. */
  logitSoftCap: number
  embeddingMultiplier: number
  residualMultiplier: number
  logitsDivider: number
  tiedHead: boolean
  /** [heads]: slope·(j − i) is added to the score of key j for query i; absent: none. */
  alibiSlopes?: number[]
  /** Weights stored [in, out] (GPT-2's Conv1D). */
  transposedLinears: boolean
  /** The head adds a bias. */
  headBias: boolean
  /** Rows of the table of positions before that of position 0. */
  positionOffset: number
  /** Rotary tables: `layers[i].attention.rope` indexes this list; −1 = no rotation in that layer. */
  ropes: RopeDescription[]
  layers: BlockDescription[]
  names: { embedding: string; positions?: string; embeddingNorm?: string; finalNorm: string; head: string }
  /** What a checkpoint may have before the names of its text part (`language_model.`), whose other parts are left out; absent: all is text. */
  textPrefixes?: string[]
}

/** A rotary table, of the first 2·n dimensions of a head. */
export interface RopeDescription {
  /** [n], radians a position. */
  inverseFrequencies: number[]
  /** Multiplies cosine and sine. */
  attentionFactor: number
  /** Those of rows longer than `originalPositions` (longrope). */
  long?: { inverseFrequencies: number[]; originalPositions: number }
  /** Multiplies cosine and sine by 1 + beta·ln(1 + ⌊position / positions⌋) (Ministral 3's queries). */
  temperature?: { beta: number; positions: number }
}

/**
 * Rows in another order: of outer·a·b·r rows, row ((o·a + i)·b + j)·r + k of the one side is row ((o·b + j)·a + i)·r + k of the other.
 */
export interface RowSwap {
  outer: number
  a: number
  b: number
}

/** A tensor by the description's name and by the file's; `swap` is of the file's rows. */
export interface StoredTensor {
  name: string
  stored: string
  swap?: RowSwap
}

/** A tensor that a checkpoint of a description holds. */
export interface ModelTensor {
  role:
    | 'embedding'
    | 'positions'
    | 'head'
    | 'embeddingNorm'
    | 'finalNorm'
    | 'norm'
    | 'linear'
    | 'bias'
    | 'normBias'
    | 'embeddingNormBias'
    | 'finalNormBias'
    | 'headBias'
  /** `name` without `.weight` or `.bias`. */
  module: string
  name: string
  /** [out_features, in_features] of a linear layer, [V, hidden] of embedding and head; vectors otherwise. */
  shape: number[]
}

/** A linear layer of a block: y = W·x + bias. */
export interface LinearSpec {
  /** Its full name without `.weight`. */
  module: string
  /** [out_features, in_features] */
  shape: [number, number]
  bias: boolean
}

/** One block: attention, then MLP. Norms are full names without `.weight`; absent = the block has none there. */
export interface BlockDescription {
  norms: { beforeAttention?: string; afterAttention?: string; beforeMlp?: string; afterMlp?: string }
  attention: {
    /** The one matrix has the rows of q, k and v head by head (GPT-NeoX). */
    byHead?: true
    /** q, k and v; or one matrix of the rows of all three, in this order. */
    in: LinearSpec[]
    out: LinearSpec
    qNorm?: string
    kNorm?: string
    /** Index into `ropes`; −1 = no rotation. */
    rope: number
    /** That of the queries, where it is another. */
    queryRope?: number
    /** Keys a query sees, itself included; 0 = all. */
    window: number
  }
  mlp: {
    /** gate and up; or one matrix of the rows of both, in this order; without a gate the one that there is. */
    in: LinearSpec[]
    out: LinearSpec
  }
}
