/** Parts of a data set by shares of its rows. */
import { z } from 'zod'
import { FedloraError } from '../../errors.js'
import { parseOptions } from '../../options/parse.js'
import { Random, randomStreams } from '../../random/random.js'

const fraction = z.number().min(0).max(1)

export const partsSchema = z.strictObject({
  train: fraction.optional().describe('share of the rows; default what the others leave'),
  validation: fraction.default(0).describe('share of the rows'),
  test: fraction.default(0).describe('share of the rows'),
  seed: z.int().min(0).default(0).describe('seed of the draw'),
})

/** Options of `Dataset.split`: shares of the rows, and a seed. */
export type PartsOptions = z.input<typeof partsSchema>

export interface Parts {
  readonly train: Int32Array
  readonly validation: Int32Array
  readonly test: Int32Array
}

/**
 * Rows of each part, ascending: drawn by seed, in one part at most.
 * @throws FedloraError `E_CONFIG` when the shares sum to more than 1.
 */
export function cutParts(rows: number, options: PartsOptions): Parts {
  const { train: share, validation, test, seed } = parseOptions(partsSchema, options, 'split options')
  const train = share ?? Math.max(0, 1 - validation - test)
  if (train + validation + test > 1 + 1e-9) {
    throw new FedloraError('E_CONFIG', `split options: shares sum to ${train + validation + test}, expected at most 1`)
  }
  const order = new Random(seed, randomStreams.split).shuffle(Int32Array.from({ length: rows }, (_, i) => i))
  // Cutting at rounded cumulative shares leaves no row between two parts.
  const cuts = [0, train, train + validation, train + validation + test].map((sum) =>
    Math.round(Math.min(sum, 1) * rows),
  )
  const part = (k: number) => order.slice(cuts[k], cuts[k + 1]).sort()
  return { train: part(0), validation: part(1), test: part(2) }
}
