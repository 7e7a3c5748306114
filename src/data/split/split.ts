/** Who holds which rows of a data set, and the file that keeps it. */
import { z } from 'zod'
import { FedloraError } from '../../errors.js'
import { readJsonObject, writeJsonFile } from '../../files/json.js'
import type { Dataset } from '../dataset.js'
import { splitOptionsSchema } from './split-options.js'

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
