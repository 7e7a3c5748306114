/** Splits a data set over the clients of a federation, and keeps the split in a file. */

import { z } from 'zod'
import { FedloraError } from '../../errors.js'
import { readJsonObject, writeJsonFile } from '../../files/json.js'
import { parseOptions } from '../../options/parse.js'
import { Random, randomStreams } from '../../random/random.js'
import type { Dataset } from '../dataset.js'
import { byCategory, dirichlet, ensureMinimum, groupByLabel, iid, quantity, trainAndTest } from './partition.js'

export const splitOptionsSchema = z.strictObject({
  by: z
    .enum(['iid', 'dirichlet', 'category', 'quantity'])
    .describe('iid: alike; dirichlet: skewed labels; category: a client a label; quantity: skewed sizes'),
  clients: z.int().min(1).optional().describe("number of clients; default, and only for 'category', one a label"),
  alpha: z
    .number()
    .positive()
    .default(0.5)
    .describe('concentration of the Dirichlet draws: the smaller, the more skewed'),
  label: z.string().min(1).optional().describe("the field that holds a row's label; default the row's category"),
  seed: z.int().min(0).default(0).describe('seed of the draws'),
  testFraction: z
    .number()
    .min(0)
    .max(0.9)
    .default(0.1)
    .describe("share of a client's rows that it keeps for evaluation"),
  minRows: z.int().min(1).default(1).describe('rows that every client holds at least'),
})

/** Options of {@link split}. Defaults: alpha 0.5, seed 0, a tenth of each client's rows for its test, one row a client at least. */
export type SplitOptions = z.input<typeof splitOptionsSchema>

/** One client's rows, as indices into the data set, ascending. */
export interface ClientRows {
  readonly name: string
  readonly train: readonly number[]
  readonly test: readonly number[]
}

const kind = 'fedlora-split'
const version = 1

const rowList = z.array(z.int().min(0))
const fileSchema = z.strictObject({
  kind: z.literal(kind),
  version: z.literal(version),
  /** `rowsFingerprint` of the data set. */
  fingerprint: z.string(),
  rows: z.int().min(1),
  options: splitOptionsSchema.nullable(),
  clients: z.array(z.strictObject({ name: z.string(), train: rowList, test: rowList })).min(1),
})

/** Who holds which rows of a data set. */
export class Split {
  readonly dataset: Dataset
  readonly clients: readonly ClientRows[]
  /** The options it was made with; null when it was put together by hand. */
  readonly options: z.output<typeof splitOptionsSchema> | null

  /**
   * @param clients indices into `dataset`; no row may be in two places
   * @throws E_DATA for an index outside the data set or a row in two places
   */
  constructor(dataset: Dataset, clients: readonly ClientRows[], options: Split['options'] = null) {
    /** Index of the client that holds each row, plus 1. */
    const owner = new Uint32Array(dataset.length)
    for (const [client, { name, train, test }] of clients.entries()) {
      for (const row of [...train, ...test]) {
        const inside = Number.isInteger(row) && row >= 0 && row < dataset.length
        if (!inside || owner[row] !== 0) {
          const found = inside
            ? `row ${row} also with client ${clients[owner[row]! - 1]!.name}`
            : `row ${row} of ${dataset.length}`
          throw new FedloraError(
            'E_DATA',
            `split, client ${name}: expected rows of the data set, each in one place, found ${found}`,
            {
              client: name,
              row,
            },
          )
        }
        owner[row] = client + 1
      }
    }
    this.dataset = dataset
    this.clients = clients
    this.options = options
  }

  get length(): number {
    return this.clients.length
  }

  #client(index: number): ClientRows {
    const client = this.clients[index]
    if (client !== undefined) return client
    throw new FedloraError('E_ARGUMENT', `client ${index}: expected an integer from 0 to ${this.length - 1}`, { index })
  }

  /** What client `index` trains on. */
  train(index: number): Dataset {
    return this.dataset.subset(this.#client(index).train)
  }

  /** What client `index` keeps for its evaluation. */
  test(index: number): Dataset {
    return this.dataset.subset(this.#client(index).test)
  }

  /** Writes the split as JSON, with the fingerprint of the data set. */
  async save(path: string): Promise<void> {
    const { dataset, options, clients } = this
    await writeJsonFile(path, {
      kind,
      version,
      fingerprint: dataset.rowsFingerprint,
      rows: dataset.length,
      options,
      clients,
    })
  }

  /**
   * Reads a split of `dataset`.
   *
   * @throws E_MISSING, E_IO when the file cannot be read; E_FORMAT when it is no split; E_DATA when it is one of other rows
   */
  static async load(path: string, dataset: Dataset): Promise<Split> {
    const parsed = fileSchema.safeParse(await readJsonObject(path, 'split'))
    if (!parsed.success) {
      const { path: at, message } = parsed.error.issues[0]!
      throw new FedloraError('E_FORMAT', `${path}: is not a split (version ${version}): ${at.join('.')}: ${message}`, {
        path,
      })
    }
    const { fingerprint, rows, clients, options } = parsed.data
    if (rows !== dataset.length || fingerprint !== dataset.rowsFingerprint) {
      throw new FedloraError(
        'E_DATA',
        `${path}: is a split of other data: of ${rows} rows with fingerprint ${fingerprint.slice(0, 12)}…, but these are ` +
          `${dataset.length} with ${dataset.rowsFingerprint.slice(0, 12)}…; load the data it was made from, or split again`,
        { path, fingerprint, rows },
      )
    }
    return new Split(dataset, clients, options)
  }
}

function labels(dataset: Dataset, field: string | undefined, needed: boolean): (row: number) => string {
  const all: string[] = []
  const byCategory = field === undefined || field === dataset.categoryField
  for (let i = 0; i < dataset.length; ++i) {
    // Categories are at hand; rows of large data sets lie in files.
    const value = byCategory ? undefined : dataset.row(i)[field]
    const label = value ?? (byCategory || field === 'category' ? dataset.category(i) : undefined)
    if (label === undefined && needed) {
      const what = field === undefined ? 'a category' : `a field "${field}"`
      const message = `split: row ${i} has no label: expected ${what}; name the field that holds it with label: '…'`
      throw new FedloraError('E_DATA', message, { row: i, field: field ?? 'category' })
    }
    all.push(label === undefined ? '' : String(label))
  }
  return (row) => all[row]!
}

/**
 * Splits a data set over clients. Every row goes to exactly one client, and there to train or test; the two of one client are of the
 * same mixture of labels. The same data, options and seed give the same split.
 *
 * @throws E_CONFIG for wrong options; E_DATA when rows have no label or are too few; E_ARGUMENT when there are more clients than
 *   categories
 */
export function split(dataset: Dataset, options: SplitOptions): Split {
  const config = parseOptions(splitOptionsSchema, options, 'split options')
  const { by, alpha, label, seed, testFraction, minRows } = config
  const labelOf = labels(dataset, label, by === 'dirichlet' || by === 'category' || label !== undefined)
  const groups = groupByLabel(
    Array.from({ length: dataset.length }, (_, i) => i),
    labelOf,
  )
  const clients = config.clients ?? (by === 'category' ? groups.size : undefined)
  if (clients === undefined) {
    throw new FedloraError(
      'E_CONFIG',
      `split options: clients: found nothing, expected a number (it is optional by 'category' only)`,
    )
  }
  if (clients * minRows > dataset.length) {
    const message = `split: ${clients} clients of at least ${minRows} rows need ${clients * minRows}, but there are ${dataset.length}`
    throw new FedloraError('E_DATA', message, { clients, minRows, rows: dataset.length })
  }
  const random = new Random(seed, randomStreams.clients)
  let names = Array.from({ length: clients }, (_, i) => `client-${i}`)
  let rows: number[][]
  if (by === 'iid') rows = iid(groups, clients, random)
  else if (by === 'dirichlet') rows = dirichlet(groups, clients, alpha, random)
  else if (by === 'quantity') rows = quantity(groups, clients, alpha, random)
  else ({ rows, names } = byCategory(groups, clients))
  const poor = rows.findIndex((held) => held.length < minRows)
  if (by === 'category' && poor >= 0) {
    const message = `split: category ${names[poor]} has ${rows[poor]!.length} rows, expected at least minRows = ${minRows}`
    throw new FedloraError('E_DATA', message, { category: names[poor], rows: rows[poor]!.length, minRows })
  }
  ensureMinimum(rows, minRows, labelOf)
  const parts = rows.map((held, i) => ({ name: names[i]!, ...trainAndTest(held, testFraction, labelOf, random) }))
  return new Split(dataset, parts, { ...config, clients })
}
