/** Kernels beside the machine's peak: mirror of `native/napi/bench.cpp`. */
import type { Compute } from './load.js'

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
