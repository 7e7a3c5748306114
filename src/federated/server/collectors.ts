/** Which way the vectors of a round are brought together: a new way is a file beside `collect.ts` and a line here. */
import type { Numbers } from '../algorithms/algorithm.js'
import { type Collector, ExactCollector } from './collect.js'
import type { ServerConfig } from './config.js'
import { MaskedSum } from './masked-sum.js'
import { PrivateCollector } from './private-sum.js'
import { RobustCollector } from './robust.js'
import { type Segmentation, SegmentCollector } from './segments.js'
import type { ChosenPart } from './shapes.js'

/** What a collector is made of beside the options. */
interface CollectorParts extends Segmentation {
  /** Where files without a name may lie; at last the system's for temporary files. */
  folders: readonly string[]
  /** What a seed chooses of a vector in the round under way, and how long it is whole; undefined: all of it travels. */
  choiceOf(name: string): ChosenPart | undefined
}

/** @param kept - what a collector of the same options remembered, of a checkpoint. */
export function createCollector(config: ServerConfig, kept: Numbers, parts: CollectorParts): Collector {
  const { robust, privateSum, secureAggregation } = config
  if (secureAggregation !== undefined) return new MaskedSum(parts.choiceOf)
  if (privateSum !== undefined) return new PrivateCollector(privateSum, kept, parts.lengthOf)
  if (robust !== undefined) return new RobustCollector(robust, parts.folders)
  return parts.segments > 1 ? new SegmentCollector(parts) : new ExactCollector()
}
