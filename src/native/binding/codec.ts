/** Updates as messages, and their exact sum: mirror of `native/napi/codec.cpp`. */

export interface EncodeOptions {
  codec: 'f32' | 'bf16' | 'int8' | 'int4' | 'topk' | 'sign' | 'randk' | 'blocks' | 'lowrank'
  density: number
  bits: 2 | 4 | 8 | 16 | 32
  seed: number
  /** randk, blocks: who is sent. Default 0. */
  choiceSeed?: number | undefined
  unbiased?: boolean | undefined
  /** blocks: default 8. */
  runLog2?: number | undefined
  /** lowrank: default 2. */
  rank?: number | undefined
  /** Rows, columns and density of each tensor of the update, in order. Default: one vector of `density`. */
  layout?: Float64Array | undefined
  /** The residual array takes the new residual; after an error it is as it was. Default: a new array. */
  inPlace?: boolean | undefined
  /** Default: all cores. */
  threads?: number | undefined
}

export interface NativeAggregator {
  readonly length: number
  readonly count: number
  readonly totalWeight: number
  /** Decodes the message tile by tile, or takes the vector, and adds it; refused ones leave the sum unchanged. */
  add(update: Uint8Array | Float32Array, weight: number): void
  /** Several at once, all or none, which is faster than one after the other: each stretch of the sum takes all of them. */
  addAll(updates: (Uint8Array | Float32Array)[], weights: number[]): void
  /** Written into `into` when it is given, which saves a new array. */
  mean(into?: Float32Array): Float32Array
  reset(): void
  /** The sums as bytes, and what another's bytes add. */
  partial(): Uint8Array
  merge(partial: Uint8Array): void
  dispose(): void
}
