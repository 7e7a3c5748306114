/** Reads a whole source: checks every row, and keeps the good ones where there is room for them. */
import { deserialize, serialize } from 'node:v8'
import { FedloraError } from '../../errors.js'
import { stringifyExactly } from '../../files/exact-json.js'
import type { OpenFile } from '../../files/open-file.js'
import type { RowsConfig } from '../dataset-options.js'
import { formats, type Row } from '../formats/formats.js'
import { type DataProgress, Slices } from '../progress.js'
import { Categories } from '../rows/categories.js'
import { categoryOf, checkRow } from '../rows/check-row.js'
import { UnreadColumns } from '../rows/columns.js'
import { Digests } from '../rows/digests.js'
import { Places } from '../rows/places.js'
import type { RawRow } from '../rows/row-error.js'
import { type RowCodec, RowStore } from '../rows/row-store.js'
import type { ReadRows } from '../rows/rows.js'
import { type DataSource, pathsOf, readRows } from './read-rows.js'
import { parseRowText } from './row-text.js'

/** Rows of files: their JSON. */
const jsonCodec: RowCodec = {
  encode: (row) => Buffer.from(stringifyExactly(row)),
  decode: (bytes) => parseRowText(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')) as Row,
}

/** Views of larger buffers as arrays of their own: what is serialised is the whole buffer. */
function detached(row: Row): Row {
  const entries = Object.entries(row).map(([name, value]) => {
    const isView = ArrayBuffer.isView(value) && value.byteLength < value.buffer.byteLength && 'slice' in value
    return [name, isView ? (value as Uint8Array).slice() : value]
  })
  return Object.fromEntries(entries)
}

/** Rows of a program: whatever can be cloned. */
const valueCodec: RowCodec = {
  encode(row) {
    try {
      return serialize(detached(row))
    } catch {
      return undefined
    }
  },
  decode: (bytes) => deserialize(bytes) as Row,
}

export interface ReadResult {
  readonly read: ReadRows
  /** Bad rows left out. */
  readonly skipped: number
  /** Rows left out because they hold nothing to learn. */
  readonly empty: number
  readonly unread: UnreadColumns
}

export interface ReadDatasetOptions {
  readonly signal: AbortSignal | undefined
  readonly onProgress: ((progress: DataProgress) => void) | undefined
  /** Where files of our own may lie. */
  readonly folders: readonly string[]
}

class Collector {
  readonly store: RowStore
  readonly places = new Places()
  readonly digests = new Digests()
  readonly categories = new Categories()
  readonly #config: RowsConfig
  readonly #fromFiles: boolean
  readonly unread: UnreadColumns
  skipped = 0
  empty = 0
  first: FedloraError | undefined

  constructor(source: DataSource, config: RowsConfig, folders: readonly string[]) {
    this.#config = config
    this.unread = new UnreadColumns(config)
    this.#fromFiles = pathsOf(source) !== null
    // An array is held by its owner anyway.
    const limit = Array.isArray(source) && !this.#fromFiles ? Number.POSITIVE_INFINITY : undefined
    this.store = new RowStore(this.#fromFiles ? jsonCodec : valueCodec, folders, limit)
  }

  /** False when there are as many rows as wanted. */
  add(raw: RawRow): boolean {
    const config = this.#config
    const error = checkRow(raw, config)
    if (error !== null) {
      const empty = error.details.empty === true
      if (!empty && config.onBadRow === 'error') throw error
      this.first ??= error
      if (empty) this.empty++
      else this.skipped++
      return true
    }
    const row = this.#fromFiles ? raw.row! : { ...raw.row! }
    this.unread.add(row)
    this.store.add({ ...raw, row })
    this.places.add(raw)
    this.categories.add(categoryOf(row, config))
    if (this.#fromFiles) this.digests.add(row)
    return this.store.length !== config.limit
  }
}

function refuseEmpty(source: DataSource, { first, skipped, empty }: Collector): never {
  const paths = pathsOf(source)
  const where = paths === null ? '(in memory)' : paths.length === 1 ? String(paths[0]) : `${paths.length} files`
  const why =
    first === undefined
      ? 'holds no row'
      : `holds no good row (${skipped} are bad, ${empty} blank, the first: ${first.message})`
  throw new FedloraError('E_DATA', `${where}: ${why}`, { file: where, skipped, empty })
}

/** @throws FedloraError as `loadDataset`; the signal's reason when aborted. */
export async function readDataset(
  source: DataSource,
  config: RowsConfig,
  options: ReadDatasetOptions,
): Promise<ReadResult> {
  const slices = new Slices('reading', options.signal, options.onProgress)
  const collector = new Collector(source, config, options.folders)
  const { store } = collector
  let file: OpenFile | undefined
  const wanted = formats[config.format].fields.filter((name) => config.fields[name] === undefined)
  const batches = readRows(source, {
    wanted,
    onBlank: (count) => {
      collector.empty += count
    },
  })
  reading: for await (const batch of batches) {
    if (batch.file !== file || store.length === 0) store.begin(batch.file)
    file = batch.file
    for (const raw of batch.rows) {
      if (!collector.add(raw)) break reading
      if (!slices.due) continue
      await slices.breathe()
    }
    await store.settle()
    slices.report(batch.done, batch.total, store.length, 0)
    options.signal?.throwIfAborted()
  }
  if (store.length === 0) refuseEmpty(source, collector)
  await store.finish()
  slices.report(1, 1, store.length, 0, true)
  const { places, digests, categories, skipped, empty, unread } = collector
  return { read: { store, places, digests, categories }, skipped, empty, unread }
}
