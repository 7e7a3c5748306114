/** One adapter's optimiser: mirror of `native/napi/session.cpp`. */
import type { TokenBatch } from './batch.js'
import type { NativeFailure } from './failure.js'

export type Recompute = 'none' | 'gate-up' | 'all'

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
  /**
   * Elements [begin, end) of the adapter's vector, ascending and disjoint; default: all. Elsewhere there is no decay, no moment and no part
   * in the norm, and for tensors that lie there no gradient is computed.
   */
  trainable?: readonly (readonly [begin: number, end: number])[] | undefined
}

/**
 * Added to a step's gradient before its norm is taken, where the session trains: `g += mu·(w − anchor) + correction`. The loss that a step
 * reports is without them.
 */
export interface GradientTerms {
  /** From 0 on; with an anchor only. */
  mu?: number | undefined
  /** Like the adapter's vector. */
  anchor?: Float32Array | undefined
  correction?: Float32Array | undefined
}

export interface StepResult {
  /** Mean over all supervised tokens of the step, all micro-batches together. */
  loss: number
  /** 2-norm before clipping, of what is trained. */
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
  /** Of what is trained: the ranges end to end. Empty where the optimiser has none. */
  moment1: Float32Array
  moment2: Float32Array
}

/** Optimiser state over one adapter; one call at a time (`E_BUSY`). */
export interface NativeSession {
  step(batches: TokenBatch[], learningRate: number): Promise<StepResult>
  /** Stops the step in flight between micro-batches. */
  cancel(): void
  state(): SessionState
  restore(state: SessionState): void
  /** For every step from now on; null: none. No part of the state. */
  setTerms(terms: GradientTerms | null): void
  dispose(): void
}
