/** What a training run tells while it goes and when it ends. */

export interface StepEvent {
  type: 'step'
  /** Optimiser steps done, from 1. */
  step: number
  /** Mean cross-entropy over all supervised tokens of the step. */
  loss: number
  learningRate: number
  /** 2-norm of the gradient before clipping. */
  gradNorm: number
  /** Tokens processed in this step. */
  tokens: number
  /** Tokens processed per second in this step. */
  tokensPerSecond: number
}

export interface EvaluationEvent {
  type: 'evaluation'
  step: number
  loss: number
  perplexity: number
  tokenAccuracy: number
  /** Supervised tokens. */
  tokens: number
}

export interface CheckpointEvent {
  type: 'checkpoint'
  step: number
  /** The checkpoint's folder, relative to the run folder. */
  path: string
}

export interface WarningEvent {
  type: 'warning'
  step: number
  message: string
}

export interface TrainResult {
  /** Loss of the last step that had supervised tokens. */
  loss: number
  /** Mean loss over all supervised tokens of the run. */
  meanLoss: number
  /** Optimiser steps done. */
  steps: number
  /** Steps that the run was to do. */
  totalSteps: number
  /** Tokens processed. */
  tokens: number
  /** Tokens that the loss was taken of. */
  supervisedTokens: number
  /** Tokens per second of the steps of this process. */
  tokensPerSecond: number
  /** Seconds of the steps of this process. */
  seconds: number
  /** Rows drawn that had no supervised token. */
  unsupervisedRows: number
  /** True when `break` or `stop()` ended the run before its last step. */
  stopped: boolean
  /** The last evaluation, when there was one. */
  evaluation?: Omit<EvaluationEvent, 'type' | 'step'>
  /** What the backward pass computes again, as the memory budget asked. */
  recompute: 'none' | 'gate-up' | 'all'
  /** The run folder, when there is one. */
  outputDir?: string
}

export interface DoneEvent extends TrainResult {
  type: 'done'
  step: number
}

/** Told apart by `type`. */
export type TrainEvent = StepEvent | EvaluationEvent | CheckpointEvent | WarningEvent | DoneEvent
