/** Rows from files and iterables, each with its place; a row that cannot be read comes with the reason. */
import { stat } from 'node:fs/promises'
import { describeField } from '../../errors/describe.js'
import { FedloraError } from '../../errors.js'
import { OpenFile } from '../../files/open-file.js'
import type { Row } from '../formats/formats.js'
import type { RawRow } from '../rows/row-error.js'
import { type ByteSource, openBytes, readError } from './bytes.js'
import { csvRows } from './csv-rows.js'
import { jsonArray } from './json-array.js'
import { jsonLines } from './json-lines.js'
import { openParquet } from './parquet.js'
import { toRaw } from './row-text.js'
import { type FileKind, sourceFiles } from './source-files.js'
import { textFile } from './text-file.js'

/** Rows in memory: an array, a generator, an async generator, … */
export type RowSource = Iterable<Row> | AsyncIterable<Row>

/** What rows are read from: a file, a folder, a pattern such as `data/*.jsonl`, several of these, or rows in memory. */
export type DataSource = string | URL | readonly (string | URL)[] | RowSource

/** Some rows, and how far the reading is. */
export interface RowBatch {
  readonly rows: readonly RawRow[]
  /** The file in which rows with `at` can be read again; the same for all batches of a file. */
  readonly file: OpenFile | undefined
  /** Bytes read of all files, and all their bytes; for rows in memory rows, null where their number is not known. */
  readonly done: number
  readonly total: number | null
}

export interface ReadOptions {
  /** Names of columns that are meant whatever their case. */
  readonly wanted: readonly string[]
  /** Told how many records of a file had no value. */
  onBlank(count: number): void
}

/** More files than this are not held open: their rows go into a file of our own. */
const mostOpenFiles = 64

function rowsOf(kind: FileKind, path: string, bytes: ByteSource, options: ReadOptions): AsyncGenerator<RawRow[]> {
  switch (kind) {
    case '.jsonl':
      return jsonLines(path, bytes)
    case '.parquet':
      return jsonLines(path, bytes, 'row')
    case '.json':
      return jsonArray(path, bytes)
    case '.txt':
      return textFile(path, bytes)
    default:
      return csvRows(path, bytes, options.wanted, kind === '.tsv' ? '\t' : ',', options.onBlank)
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch (error) {
    throw readError(path, error)
  }
}

async function* fileRows(paths: readonly (string | URL)[], options: ReadOptions): AsyncGenerator<RowBatch> {
  const files = await sourceFiles(paths)
  let total = 0
  for (const { path } of files) total += await sizeOf(path)
  let before = 0
  for (const { path, kind } of files) {
    const bytes = await (kind === '.parquet' ? openParquet : openBytes)(path)
    const inPlace = kind === '.jsonl' && bytes.at !== undefined && files.length <= mostOpenFiles
    const file = inPlace ? new OpenFile(path, 'r') : undefined
    const source = inPlace ? bytes : { ...bytes, at: undefined }
    for await (const rows of rowsOf(kind, path, source, options)) {
      yield { rows, file, done: before + bytes.consumed(), total }
    }
    before += bytes.size
  }
}

async function* memoryRows(source: RowSource): AsyncGenerator<RowBatch> {
  const place = { file: '(in memory)', unit: 'row' } as const
  const total = Array.isArray(source) ? source.length : null
  let number = 0
  for await (const row of source) {
    const rows = [toRaw({ ...place, number: ++number }, row)]
    yield { rows, file: undefined, done: number, total }
  }
}

const isPath = (value: unknown) => typeof value === 'string' || value instanceof URL

/** The paths that a source consists of, or null for rows in memory. @throws FedloraError `E_ARGUMENT` */
export function pathsOf(source: DataSource): readonly (string | URL)[] | null {
  if (isPath(source)) return [source as string | URL]
  if (Array.isArray(source) && source.some(isPath)) {
    const other = source.findIndex((value) => !isPath(value))
    if (other < 0) return source as readonly (string | URL)[]
    const message = `source[${other}]: expected a path like the others, found ${describeField(source[other])}`
    throw new FedloraError('E_ARGUMENT', message, { field: `source[${other}]` })
  }
  if (typeof source === 'object' && source !== null && (Symbol.iterator in source || Symbol.asyncIterator in source))
    return null
  throw new FedloraError(
    'E_ARGUMENT',
    `source: expected a path, a list of paths or an iterable of rows, found ${describeField(source)}`,
    {
      field: 'source',
    },
  )
}

/** @throws E_MISSING, E_IO, E_DATA (a file that is broken as a whole), E_ARGUMENT (a source or a file of unknown kind) */
export function readRows(source: DataSource, options: ReadOptions): AsyncGenerator<RowBatch> {
  const paths = pathsOf(source)
  return paths === null ? memoryRows(source as RowSource) : fileRows(paths, options)
}
