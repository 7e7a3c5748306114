/** Which way the vectors of a round are brought together: a new way is a file beside `collect.ts` and a line here. */
import type { Numbers } from '../algorithms/algorithm.js'
import { type Collector, ExactCollector } from './collect.js'
import type { ServerConfig } from './config.js'
import { type Segmentation, SegmentCollector } from './segments.js'

/**
 * @param _kept - what a collector of the same options remembered, of a checkpoint.
 * @param parts - what clients send where they send parts by turn.
 */
export function createCollector(_config: ServerConfig, _kept: Numbers, parts: Segmentation): Collector {
  return parts.segments > 1 ? new SegmentCollector(parts) : new ExactCollector()
}
