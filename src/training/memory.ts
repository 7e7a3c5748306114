/** Choosing how much a run recomputes, from the plan of its largest micro-batch. */
import type { Dataset } from '../data/dataset.js'
import { FedloraError } from '../errors.js'
import type { Adapter } from '../model/adapter.js'
import { adapterLayers } from '../model/adapter-options.js'
import { recomputeLevels } from '../model/estimate.js'
import type { NativeModel, PlanRequest, Recompute } from '../native/binding.js'
import type { TrainConfig } from './options.js'

/** Bytes as people read them. */
export function formatBytes(bytes: number): string {
  if (bytes < 2 ** 20) return `${(bytes / 2 ** 10).toFixed(1)} KiB`
  return bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${(bytes / 2 ** 30).toFixed(2)} GiB`
}

export type Extent = Pick<PlanRequest, 'tokens' | 'rows' | 'longestRow' | 'supervised'>

/** The largest micro-batch that a run over these rows can meet. */
export function largestMicroBatch(data: Dataset, config: Pick<TrainConfig, 'batchSize' | 'packing'>): Extent {
  const rows = Array.from({ length: data.length }, (_, index) => {
    const { inputIds, labels } = data.sample(index)
    let supervised = 0
    for (let i = 1; i < labels.length; i++) if (labels[i]! >= 0) supervised++
    return { tokens: inputIds.length, supervised }
  })
  const sum = (values: number[]) => values.reduce((total, value) => total + value, 0)
  const largest = (values: number[]) => values.sort((a, b) => b - a).slice(0, config.batchSize)
  const longestRow = rows.reduce((most, row) => Math.max(most, row.tokens), 0)
  if (!config.packing) {
    // A batch that crosses the end of an epoch may hold a row twice, so the longest rows bound it only together with repetition.
    const repeated = data.length < config.batchSize ? config.batchSize : undefined
    const tokens = repeated ? longestRow * repeated : sum(largest(rows.map((row) => row.tokens)))
    const supervised = repeated ? tokens : Math.min(tokens, sum(largest(rows.map((row) => row.supervised))))
    return { tokens, rows: config.batchSize, longestRow, supervised }
  }
  const tokens = Math.max(longestRow, config.batchSize * data.maxLength)
  const shortest = rows.reduce((least, row) => Math.min(least, row.tokens), longestRow)
  return { tokens, rows: Math.max(1, Math.floor(tokens / shortest)), longestRow, supervised: tokens }
}

/**
 * The least recomputation whose plan fits the budget; none without a budget.
 * @throws FedloraError `E_MEMORY` with the number when even full recomputation does not fit.
 */
export function chooseRecompute(model: NativeModel, adapter: Adapter, data: Dataset, config: TrainConfig): Recompute {
  const budget = config.memoryBudget
  if (budget === undefined) return 'none'
  const extent = largestMicroBatch(data, config)
  const layers = adapterLayers(adapter.config, adapter.targets)
  let needed = 0
  for (const recompute of recomputeLevels) {
    needed = model.plan({ ...extent, recompute, optimizer: config.optimizer, layers }).total
    if (needed <= budget) return recompute
  }
  throw new FedloraError(
    'E_MEMORY',
    `train: the run needs ${formatBytes(needed)} even with full recomputation, the memory budget is ${formatBytes(budget)}; ` +
      `lower batchSize (${config.batchSize}), the data's maxLength (${data.maxLength}) or the adapter's rank, or quantise the model further`,
    { needed, budget },
  )
}
