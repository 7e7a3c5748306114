/** What a training run tells while it goes and when it ends. */
import type { Failure } from '../run/failure.js'
import type { GapEvent } from '../run/run-events.js'
import type { Spent } from './spending.js'

export interface StepEvent {
  type: 'step'
  /** Optimiser steps done, from 1. */
  step: number
  /** Optimiser steps that the run is to do. */
  totalSteps: number
  /** Passes over the data so far: 1.5 is half-way through the second. */
  epoch: number
  /** Mean cross-entropy over all supervised tokens of the step; NaN (null in the log) when a private step drew none. */
  loss: number
  learningRate: number
  /** 2-norm of the gradient before clipping. */
  gradNorm: number
  /** Tokens processed in this step. */
  tokens: number
  /** Tokens processed per second in this step. */
  tokensPerSecond: number
  /** With `privacy`. Loss, rows and clipped are of the rows themselves: they are not private. */
  privacy?: {
    /** Spent so far, at most; Infinity (null in the log) without noise. */
    epsilon: number
    /** Rows drawn, and those whose gradient was longer than the clip. */
    rows: number
    clipped: number
  }
}

export interface EvaluationEvent {
  type: 'evaluation'
  step: number
  loss: number
  perplexity: number
  tokenAccuracy: number
  /** Supervised tokens. */
  tokens: number
  /** With `evaluate.best` or `evaluate.patience`: whether it is the best evaluation so far. */
  best?: boolean
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

/** How far a phase that takes longer than half a second is. Not part of the event log. */
export interface ProgressEvent {
  type: 'progress'
  /** checking: ids of an earlier run are read from the cache. */
  phase: 'checking' | 'tokenizing' | 'evaluating'
  /** Rows; bytes for `checking`. */
  done: number
  total: number
  /** Ids made so far (`tokenizing`). */
  tokens?: number
  /** Seconds since the phase began, and what the rest will take at the pace so far. */
  seconds?: number
  remaining?: number | null
}

/** The run failed: the last line of its log, and what onlookers see of the failure. */
export interface ErrorEvent extends Failure {
  /** Optimiser steps done before. */
  step: number
}

/** The best evaluation of a run with `evaluate.best` or `evaluate.patience`. */
export interface BestEvaluation {
  step: number
  loss: number
  perplexity: number
  tokenAccuracy: number
  tokens: number
  /** The PEFT folder of the adapter of that step, when `evaluate.best` is given. */
  adapter?: string
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
  /** Why it ended: all steps done, no better evaluation within `evaluate.patience`, `privacy.epsilon` spent, or `break` or `stop()`. */
  finishReason: 'completed' | 'early-stopping' | 'budget' | 'stopped'
  /** Passes over the data. */
  epoch: number
  /** The last evaluation, when there was one. */
  evaluation?: Omit<EvaluationEvent, 'type' | 'step' | 'best'>
  /** The best evaluation, when `evaluate.best` or `evaluate.patience` is given and there was one. */
  best?: BestEvaluation
  /** What the backward pass computes again, as the memory budget asked. */
  recompute: 'none' | 'gate-up' | 'all'
  /** What was spent, with `privacy`. */
  privacy?: Spent
  /** The run folder, when there is one. */
  outputDir?: string
}

export interface DoneEvent extends TrainResult {
  type: 'done'
  step: number
}

/** Told apart by `type`. */
export type TrainEvent =
  | StepEvent
  | EvaluationEvent
  | CheckpointEvent
  | WarningEvent
  | ProgressEvent
  | ErrorEvent
  | GapEvent
  | DoneEvent
