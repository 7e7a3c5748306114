/** Which way the vectors of a round are brought together: a new way is a file beside `collect.ts` and a line here. */
import type { Numbers } from '../algorithms/algorithm.js'
import { type Collector, ExactCollector } from './collect.js'
import type { ServerConfig } from './config.js'
import { RobustCollector } from './robust.js'
import { type Segmentation, SegmentCollector } from './segments.js'

/** What a collector is made of beside the options. */
interface CollectorParts extends Segmentation {
  /** Where files without a name may lie; at last the system's for temporary files. */
  folders: readonly string[]
}

/** @param _kept - what a collector of the same options remembered, of a checkpoint. */
export function createCollector({ robust }: ServerConfig, _kept: Numbers, parts: CollectorParts): Collector {
  if (robust !== undefined) return new RobustCollector(robust, parts.folders)
  return parts.segments > 1 ? new SegmentCollector(parts) : new ExactCollector()
}
