/** Choosing how much a run recomputes, from the plan of its largest micro-batch. */
import type { Dataset } from '../data/dataset.js'
import { formatBytes } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import type { Adapter } from '../model/adapter.js'
import { adapterLayers } from '../model/adapter-options.js'
import type { NativeModel, PlanRequest, Recompute } from '../native/binding.js'
import type { TrainConfig } from './options.js'

/**
 * Tokens up to which micro-batches of several adapters share a pass: more tokens run hardly faster and take memory. A larger
 * micro-batch goes alone.
 */
export const passTokens = 1024

/** From the fastest to the leanest way of keeping activations. */
export const recomputeLevels: readonly Recompute[] = ['none', 'gate-up', 'all']

export type Extent = Pick<PlanRequest, 'tokens' | 'rows' | 'longestRow' | 'supervised'>

type Visits = Pick<TrainConfig, 'batchSize' | 'packing'> &
  Partial<Pick<TrainConfig, 'epochs' | 'maxSteps' | 'gradientAccumulation'>>

/** Rows that a run draws in all, of a data set of `rows`. */
function rowsDrawn(rows: number, { batchSize, epochs, maxSteps, gradientAccumulation = 1 }: Visits): number {
  return maxSteps === undefined
    ? Math.max(1, Math.round((epochs ?? 1) * rows))
    : maxSteps * gradientAccumulation * batchSize
}

/**
 * The most that `size` rows drawn one after the other can sum to. Within an epoch each row is drawn once. Where the draw crosses ends of
 * epochs it holds `q` whole epochs and between them the tail of one order and the head of another, which may be the same rows.
 */
function largestDraw(values: Int32Array, size: number, crossing: boolean): number {
  const descending = values.slice().sort().reverse()
  const sums = new Float64Array(descending.length + 1)
  for (let i = 0; i < descending.length; i++) sums[i + 1] = sums[i]! + descending[i]!
  const rows = descending.length
  if (!crossing) return sums[Math.min(size, rows)]!
  let most = 0
  for (let epochs = Math.max(0, Math.floor(size / rows) - 1); epochs * rows <= size; epochs++) {
    const rest = size - epochs * rows
    if (rest > 2 * rows) continue
    most = Math.max(most, epochs * sums[rows]! + sums[Math.ceil(rest / 2)]! + sums[Math.floor(rest / 2)]!)
  }
  return most
}

/** The largest micro-batch that a run over these rows can meet: no order of the rows gives a larger one. */
export function largestMicroBatch(data: Dataset, config: Visits): Extent {
  const tokensOf = new Int32Array(data.length)
  const supervisedOf = new Int32Array(data.length)
  let longestRow = 0
  let shortest = Number.POSITIVE_INFINITY
  for (let row = 0; row < data.length; row++) {
    const { tokens, supervised } = data.facts(row)
    tokensOf[row] = tokens
    supervisedOf[row] = supervised
    longestRow = Math.max(longestRow, tokens)
    shortest = Math.min(shortest, tokens)
  }
  if (!config.packing) {
    const drawn = rowsDrawn(data.length, config)
    const rows = Math.min(config.batchSize, drawn)
    const crossing = drawn > data.length
    const tokens = largestDraw(tokensOf, rows, crossing)
    return { tokens, rows, longestRow, supervised: largestDraw(supervisedOf, rows, crossing) }
  }
  const tokens = Math.max(longestRow, config.batchSize * data.maxLength)
  return { tokens, rows: Math.max(1, Math.floor(tokens / Math.max(1, shortest))), longestRow, supervised: tokens }
}

/**
 * The least recomputation whose plan fits the budget; none without a budget.
 * @throws FedloraError `E_MEMORY` with the number when even full recomputation does not fit.
 */
export function chooseRecompute(
  model: NativeModel,
  adapter: Adapter,
  data: Dataset,
  config: Visits & Pick<TrainConfig, 'optimizer' | 'memoryBudget'> & { privacy?: unknown },
): Recompute {
  const budget = config.memoryBudget
  if (budget === undefined) return 'none'
  const privately = config.privacy !== undefined // a draw may hold any rows, each once, and each has a gradient of its own
  const extent = privately
    ? largestMicroBatch(data, { ...config, epochs: 1, maxSteps: undefined })
    : largestMicroBatch(data, config)
  const examples = privately ? { examples: extent.rows } : {}
  const layers = adapterLayers(adapter.config, adapter.targets)
  const residual = adapter.residualRanks
  let needed = 0
  for (const recompute of recomputeLevels) {
    needed = model.plan({ ...extent, ...examples, recompute, optimizer: config.optimizer, layers, residual }).total
    if (needed <= budget) return recompute
  }
  throw new FedloraError(
    'E_MEMORY',
    `train: the run needs ${formatBytes(needed)} even with full recomputation, the memory budget is ${formatBytes(budget)}; ` +
      `lower batchSize (${config.batchSize}), the data's maxLength (${data.maxLength}) or the adapter's rank, or quantise the model further`,
    { needed, budget },
  )
}
