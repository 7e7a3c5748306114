/** Which way the vectors of a round are brought together: a new way is a file beside `collect.ts` and a line here. */
import type { Numbers } from '../algorithms/algorithm.js'
import { type Collector, ExactCollector } from './collect.js'
import type { ServerConfig } from './config.js'

/** @param _kept - what a collector of the same options remembered, of a checkpoint. */
export function createCollector(_config: ServerConfig, _kept: Numbers): Collector {
  return new ExactCollector()
}
