/** What a round's work needs of memory, known before a weight is read. */
import type { Dataset } from '../../data/index.js'
import type { AdapterLayer, LoadOptions } from '../../native/binding.js'
import { native } from '../../native/load.js'
import { largestMicroBatch } from '../../training/memory.js'
import type { FederationConfig } from '../options.js'

/** Bytes of model and training with everything computed again that can be: the least that the work takes. */
export function leastMemory(
  load: LoadOptions,
  layers: AdapterLayer[],
  rows: Dataset,
  local: FederationConfig['local'],
  privately: boolean,
): number {
  const extent = largestMicroBatch(rows, privately ? { ...local, epochs: 1 } : { ...local, maxSteps: local.steps })
  const examples = privately ? { examples: extent.rows } : {} // rows with a gradient each
  return native().planModel(load, { ...extent, ...examples, recompute: 'all', optimizer: local.optimizer, layers })
    .total
}
