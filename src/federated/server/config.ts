import type { Weighting } from '../algorithms/algorithm.js'
import type { ServerOptimizerOptions } from '../server-step/step.js'

/** What a server is told of the federation's options. */
export interface ServerConfig {
  rounds: number
  seed: number
  serverOptimizer: ServerOptimizerOptions
  download: { codec: 'f32' | 'bf16' }
  /** Default: the algorithm's, or 'rows'. */
  weighting?: Weighting | undefined
  /** Ranks that a residual may have; default 256. */
  maxResidualRank?: number | undefined
}
