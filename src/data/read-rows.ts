/** Rows from JSONL, JSON and CSV files and from iterables, each with its place; a row that cannot be read comes with the reason. */

import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { extname } from 'node:path'
import { FedloraError } from '../errors.js'
import { parseCsv } from './csv.js'
import { describe } from './formats/format.js'
import type { Row } from './formats.js'
import type { RawRow } from './row-error.js'

/** Rows in memory: an array, a generator, an async generator, … */
export type RowSource = Iterable<Row> | AsyncIterable<Row>

function isRow(value: unknown): value is Row {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value)
}

function toRaw(file: string, unit: RawRow['unit'], number: number, value: unknown): RawRow {
  if (isRow(value)) return { file, unit, number, row: value, problem: null }
  return { file, unit, number, row: null, problem: { field: '', expected: 'an object', found: describe(value) } }
}

function ioError(file: string, error: unknown): FedloraError {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
    return new FedloraError('E_MISSING', `${file}: does not exist`, { file }, error)
  }
  return new FedloraError('E_IO', `${file}: could not be read: ${(error as Error).message}`, { file }, error)
}

/** The lines of a file as bytes, without their line ends, read piece by piece: the file may be larger than memory. */
async function* byteLines(file: string): AsyncGenerator<Buffer> {
  let held: Buffer[] = []
  try {
    for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
      let from = 0
      for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
        held.push(chunk.subarray(from, end))
        yield held.length === 1 ? held[0]! : Buffer.concat(held)
        held = []
        from = end + 1
      }
      if (from < chunk.length) held.push(chunk.subarray(from))
    }
  } catch (error) {
    throw ioError(file, error)
  }
  if (held.length > 0) yield Buffer.concat(held)
}

async function* jsonLines(file: string): AsyncGenerator<RawRow> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let number = 0
  for await (const bytes of byteLines(file)) {
    ++number
    let line: string
    try {
      line = decoder.decode(bytes).trim()
    } catch {
      const problem = { field: '', expected: 'UTF-8', found: 'bytes that are not' }
      yield { file, unit: 'line', number, row: null, problem }
      continue
    }
    if (line === '') continue
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch (error) {
      const problem = { field: '', expected: 'a JSON object', found: `what is not JSON (${(error as Error).message})` }
      yield { file, unit: 'line', number, row: null, problem }
      continue
    }
    yield toRaw(file, 'line', number, value)
  }
}

async function wholeText(file: string): Promise<string> {
  let bytes: Buffer
  try {
    bytes = await readFile(file)
  } catch (error) {
    throw ioError(file, error)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new FedloraError('E_DATA', `${file}: is not UTF-8; convert it, for example with iconv`, { file }, error)
  }
}

async function* jsonArray(file: string): AsyncGenerator<RawRow> {
  const text = await wholeText(file)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    const message = `${file}: is not JSON: ${(error as Error).message}; a file with one object a line is named .jsonl`
    throw new FedloraError(
      'E_DATA',
      message,
      { file, expected: 'a JSON array of objects', found: 'what is not JSON' },
      error,
    )
  }
  if (!Array.isArray(value)) {
    const details = { file, expected: 'a JSON array of objects', found: describe(value) }
    throw new FedloraError('E_DATA', `${file}: expected a JSON array of objects, found ${describe(value)}`, details)
  }
  for (const [i, row] of value.entries()) yield toRaw(file, 'row', i + 1, row)
}

async function* csvRows(file: string): AsyncGenerator<RawRow> {
  let names: string[] | null = null
  for (const { line, fields, problem } of parseCsv(await wholeText(file))) {
    const bad = (expected: string, found: string): RawRow => {
      return { file, unit: 'line', number: line, row: null, problem: { field: '', expected, found } }
    }
    if (names === null) {
      const header = fields.map((name) => name.trim())
      const doubled = header.find((name, i) => header.indexOf(name) !== i)
      if (problem !== null || doubled !== undefined) {
        const found = problem ?? `the name ${JSON.stringify(doubled)} twice`
        const details = { file, line, expected: 'a header of distinct names', found }
        throw new FedloraError(
          'E_DATA',
          `${file}, line ${line}: expected a header of distinct names, found ${found}`,
          details,
        )
      }
      names = header
    } else if (problem !== null) {
      yield bad('a record after RFC 4180', problem)
    } else if (fields.length !== names.length) {
      yield bad(`${names.length} fields as in the header`, `${fields.length}`)
    } else {
      yield toRaw(file, 'line', line, Object.fromEntries(names.map((name, i) => [name, fields[i]])))
    }
  }
}

async function* memoryRows(source: RowSource): AsyncGenerator<RawRow> {
  let number = 0
  for await (const row of source) yield toRaw('(in memory)', 'row', ++number, row)
}

const readers: Record<string, (file: string) => AsyncGenerator<RawRow>> = {
  '.jsonl': jsonLines,
  '.ndjson': jsonLines,
  '.json': jsonArray,
  '.csv': csvRows,
}

/** @throws E_MISSING, E_IO, E_DATA (a file that is broken as a whole), E_ARGUMENT (a source of unknown kind) */
export function readRows(source: string | RowSource): AsyncGenerator<RawRow> {
  if (typeof source === 'string') {
    const reader = readers[extname(source).toLowerCase()]
    if (reader !== undefined) return reader(source)
    const known = Object.keys(readers).join(', ')
    throw new FedloraError('E_ARGUMENT', `${source}: unknown kind of file; expected a name that ends in ${known}`, {
      file: source,
    })
  }
  if (typeof source === 'object' && source !== null && (Symbol.iterator in source || Symbol.asyncIterator in source)) {
    return memoryRows(source)
  }
  throw new FedloraError('E_ARGUMENT', `source: expected a path or an iterable of rows, found ${describe(source)}`, {
    field: 'source',
  })
}
