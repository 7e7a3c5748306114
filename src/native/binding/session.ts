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

/** Optimiser state over one adapter; one call at a time (`E_BUSY`). */
export interface NativeSession {
  step(batches: TokenBatch[], learningRate: number): Promise<StepResult>
  /** Stops the step in flight between micro-batches. */
  cancel(): void
  state(): SessionState
  restore(state: SessionState): void
  dispose(): void
}
