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
  /**
   * Trains, instead of the factors, a square matrix R [rank, rank] between those of every adapted layer: ΔW = s·B·R·A, with A and B frozen
   * (Fed-SB, Singhal et al. 2025). The adapter holds R·A as its lora_A, at once and after every step. Moments and terms are like the core's
   * vector: every R, row-major, in the order of the layout. Not beside `trainable`.
   */
  core?: CoreOptions | undefined
}

export interface CoreOptions {
  R: Float32Array
  /** Every lora_A, end to end; default: those that the adapter holds. */
  A?: Float32Array | undefined
}

/**
 * Added to a step's gradient before its norm is taken, where the session trains: `g += mu·(w − anchor) + correction`. The loss that a step
 * reports is without them.
 */
export interface GradientTerms {
  /** From 0 on; with an anchor only. */
  mu?: number | undefined
  /** Like the adapter's vector; with a core, like the core's. */
  anchor?: Float32Array | undefined
  correction?: Float32Array | undefined
}

/**
 * Makes a step differentially private (Abadi et al. 2016): `g = (Σ_i g_i·min(1, clip/‖g_i‖) + noiseMultiplier·clip·z) / expectedExamples`, with
 * g_i the gradient of the mean loss of row i over what is trained, and z standard normals. The rows of a micro-batch have a gradient each
 * at the same time, as large as the adapter; how rows are put into micro-batches changes no bit. Without any row there is noise as well.
 */
export interface PrivateStep {
  /** Above 0; finite where there is noise. */
  clip: number
  /** From 0 on. */
  noiseMultiplier: number
  /** Rows that a draw has on average: not the number drawn. */
  expectedExamples: number
  /** 32 bytes of which the noise is made, for this step alone. */
  key: Uint8Array
}

export interface StepResult {
  /** Mean over all supervised tokens of the step, all micro-batches together, weighted as their rows are. */
  loss: number
  /** 2-norm before clipping, of what is trained. */
  gradNorm: number
  tokens: number
  supervised: number
  /** Of a private step: rows drawn, and those whose gradient was longer than the clip; else 0. */
  examples: number
  clipped: number
  /** True when cancel() stopped it between micro-batches: nothing was updated. */
  cancelled: boolean
}

/** One session's part of a common step. */
export interface SessionStep {
  session: NativeSession
  batches: TokenBatch[]
  learningRate: number
  privacy?: PrivateStep | undefined
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
  /** At least one batch, unless the step is private. */
  step(batches: TokenBatch[], learningRate: number, privacy?: PrivateStep): Promise<StepResult>
  /** Stops the step in flight between micro-batches. */
  cancel(): void
  state(): SessionState
  restore(state: SessionState): void
  /** For every step from now on; null: none. No part of the state. */
  setTerms(terms: GradientTerms | null): void
  /** A copy of the core's vector; null without a core. */
  core(): Float32Array | null
  setCore(values: Float32Array): void
  dispose(): void
}
