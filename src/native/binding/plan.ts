/** The memory of a training step. */
import type { AdapterLayer } from './adapter.js'
import type { Recompute } from './session.js'

export interface PlanRequest {
  tokens: number
  rows: number
  longestRow: number
  supervised: number
  recompute: Recompute
  optimizer: 'adamw' | 'sgd'
  /** In training at the same time; default 1. */
  adapters?: number
  /** Rows of the largest micro-batch of a private step, which have a gradient each; default: the step is not private. */
  examples?: number
  layers: AdapterLayer[]
  /** Ranks of a residual that these adapters share, one a layer; default: none. */
  residual?: readonly number[]
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
