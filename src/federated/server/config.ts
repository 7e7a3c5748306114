import type { Weighting } from '../algorithms/algorithm.js'
import type { DownloadConfig } from '../download-options.js'
import type { RobustConfig } from '../robust-options.js'
import type { ScreeningConfig } from '../screening-options.js'
import type { ServerOptimizerOptions } from '../server-step/step.js'
import type { Upload } from '../upload-options.js'
import type { PrivateSum } from './private-sum.js'

/** What a server is told of the federation's options. */
export interface ServerConfig {
  rounds: number
  seed: number
  serverOptimizer: ServerOptimizerOptions
  download: DownloadConfig
  /** How updates are encoded; needed where they come masked and a seed chooses what travels. */
  upload?: Upload | undefined
  /** Parts of a vector, of which a client sends one a round; default 1: all of it. */
  segments?: number | undefined
  /** Updates come masked. */
  secureAggregation?: object | undefined
  /** Default: the algorithm's, or 'rows'. */
  weighting?: Weighting | undefined
  /** Rule in the place of the mean; default: the mean. */
  robust?: RobustConfig | undefined
  /** Bounds of answers; default: none. */
  screening?: ScreeningConfig | undefined
  /** Answers are cut, summed and noised; absent: they are averaged exactly. */
  privateSum?: PrivateSum | undefined
  /** Ranks that a residual may have; default 256. */
  maxResidualRank?: number | undefined
}
