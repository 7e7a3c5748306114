/** Clients to attack: their rows, and the updates that they make of them. */
import { linearCombination } from '../../../aggregation/vectors.js'
import { type Dataset, loadDataset } from '../../../data/index.js'
import type { Adapter } from '../../../model/adapter.js'
import type { TrainOptions } from '../../../training/options.js'
import { train } from '../../../training/train.js'

/** How a client works. */
export type Work = Pick<TrainOptions, 'optimizer' | 'maxSteps'>

/** The first `length` tokens of a row, all of them learnt. */
export async function beginning(rows: Dataset, row: number, length: number): Promise<Dataset> {
  const { inputIds } = rows.sample(row)
  return await loadDataset([{ input_ids: inputIds.slice(0, length) }], { format: 'tokens', maxLength: length })
}

/** The different tokens that a model reads on the way to a prediction: all but the last of a row. */
export function tokensOf(rows: Dataset): Set<number> {
  const tokens = new Set<number>()
  for (let row = 0; row < rows.length; row++) {
    for (const token of rows.sample(row).inputIds.slice(0, -1)) tokens.add(token)
  }
  return tokens
}

/** Trains `adapter` from `start` on the rows; gives the difference. */
export async function updateOf(
  adapter: Adapter,
  start: Float32Array,
  rows: Dataset,
  options: TrainOptions,
  signal: AbortSignal,
): Promise<Float32Array> {
  adapter.setVector(start)
  await train(adapter, rows, { schedule: 'constant', warmupSteps: 0, learningRate: 5e-3, ...options, signal })
  return linearCombination([1, -1], [adapter.vector(), start])
}
