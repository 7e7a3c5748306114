/** The order in which a run visits its rows, in micro-batches, with a cursor from which the same order continues. */

import { z } from 'zod'
import { FedloraError } from '../errors.js'
import type { TokenBatch } from '../native/binding.js'
import { parseOptions } from '../options/parse.js'
import { permutation } from '../random/random.js'
import type { Dataset } from './dataset.js'
import { concat } from './ids/concat.js'
import type { LabelledIds, Sample } from './ids/sample.js'

export const batchOptionsSchema = z.strictObject({
  batchSize: z.int().min(1).describe('rows of a micro-batch'),
  shuffle: z.boolean().default(true).describe('visit the rows in a new order each epoch'),
  seed: z.int().min(0).default(0).describe('seed of the orders'),
  packing: z.boolean().default(false).describe('as many rows as fit into batchSize × maxLength tokens'),
  maxLength: z.int().min(1).optional().describe('tokens of a row for packing; default that of the data set'),
  epochs: z.number().positive().optional().describe('times that every row is visited; without it batches never end'),
})

/** Options of {@link Batches}. Defaults: shuffled, seed 0, no packing, endless. */
export type BatchOptions = z.input<typeof batchOptionsSchema>

/** Where a run stands: rows of `epoch` (from 0) already visited. Plain JSON. */
export interface BatchState {
  readonly epoch: number
  readonly position: number
}

export interface Batch {
  /** Indices of the rows in the data set. */
  readonly indices: number[]
  readonly samples: Sample[]
}

/**
 * Micro-batches of a data set. Rows are drawn without replacement within an epoch; a batch that reaches the end of an epoch goes on in
 * the next, so that every batch is full; only the last one of `epochs` may be short. The order is a function of seed and epoch.
 */
export class Batches implements Iterable<Batch> {
  readonly #dataset: Dataset
  readonly #options: z.output<typeof batchOptionsSchema>
  readonly #budget: number
  /** Rows to visit in all. */
  readonly #total: number
  #epoch = 0
  #position = 0
  #order: Int32Array | undefined
  #orderEpoch = -1

  /** @throws E_DATA when the data set is empty; E_CONFIG for wrong options */
  constructor(dataset: Dataset, options: BatchOptions) {
    if (dataset.length === 0) throw new FedloraError('E_DATA', 'the data set is empty: there is nothing to train on')
    this.#dataset = dataset
    this.#options = parseOptions(batchOptionsSchema, options, 'batch options')
    const { batchSize, maxLength, epochs } = this.#options
    this.#budget = batchSize * (maxLength ?? dataset.maxLength)
    this.#total = epochs === undefined ? Number.POSITIVE_INFINITY : Math.max(1, Math.round(epochs * dataset.length))
  }

  /** Where the next batch begins. */
  get state(): BatchState {
    return { epoch: this.#epoch, position: this.#position }
  }

  /**
   * Continues from a `state` that the same data set and options gave.
   *
   * @throws E_CHECKPOINT when it lies outside the data set
   */
  restore(state: BatchState): void {
    const { epoch, position } = state
    if (
      !Number.isInteger(epoch) ||
      epoch < 0 ||
      !Number.isInteger(position) ||
      position < 0 ||
      position >= this.#dataset.length
    ) {
      const message = `data cursor ${JSON.stringify(state)}: lies outside a data set of ${this.#dataset.length} rows`
      throw new FedloraError('E_CHECKPOINT', message, { epoch, position, rows: this.#dataset.length })
    }
    this.#epoch = epoch
    this.#position = position
  }

  /** Rows visited so far. */
  get visited(): number {
    return this.#epoch * this.#dataset.length + this.#position
  }

  /** The row that comes next, without moving on. */
  #peek(): number {
    if (!this.#options.shuffle) return this.#position
    if (this.#orderEpoch !== this.#epoch) {
      this.#order = permutation(this.#dataset.length, this.#options.seed, this.#epoch)
      this.#orderEpoch = this.#epoch
    }
    return this.#order![this.#position]!
  }

  #advance(): void {
    if (++this.#position < this.#dataset.length) return
    this.#position = 0
    ++this.#epoch
  }

  /** The indices of the next batch, or null at the end. */
  #nextIndices(): number[] | null {
    const { batchSize, packing } = this.#options
    const indices: number[] = []
    let tokens = 0
    while (this.visited < this.#total) {
      const index = this.#peek()
      if (packing) {
        tokens += this.#dataset.facts(index).tokens
        if (indices.length > 0 && tokens > this.#budget) break
      } else if (indices.length === batchSize) {
        break
      }
      indices.push(index)
      this.#advance()
    }
    return indices.length === 0 ? null : indices
  }

  /** The next batch, or null after the last one. */
  next(): Batch | null {
    const indices = this.#nextIndices()
    return indices === null ? null : { indices, samples: indices.map((index) => this.#dataset.sample(index)) }
  }

  /** Batches from the first to the last, or Infinity without `epochs`. With packing, all rows are tokenised to know. */
  count(): number {
    if (this.#total === Number.POSITIVE_INFINITY) return this.#total
    if (!this.#options.packing) return Math.ceil(this.#total / this.#options.batchSize)
    const walk = new Batches(this.#dataset, this.#options)
    let count = 0
    while (walk.#nextIndices() !== null) ++count
    return count
  }

  *[Symbol.iterator](): Generator<Batch> {
    for (let batch = this.next(); batch !== null; batch = this.next()) yield batch
  }
}

/** Lays rows end to end, without padding, as the engine takes them. */
export function pack(rows: readonly LabelledIds[]): TokenBatch {
  return {
    ids: concat(rows.map(({ inputIds }) => inputIds)),
    labels: concat(rows.map(({ labels }) => labels)),
    lengths: Int32Array.from(rows, ({ inputIds }) => inputIds.length),
  }
}
