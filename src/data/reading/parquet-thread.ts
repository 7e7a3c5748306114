/**
 * The thread that reads a Parquet file, because decoding does not pause: it answers each message of its parent with the next rows as JSON Lines, and
 * with no bytes after the last.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { type AsyncBuffer, type Compressors, parquetMetadataAsync, parquetRead, parquetSchema } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { stringifyExactly } from '../../files/exact-json.js'
import type { ParquetAnswer } from './parquet.js'

/** Text of an answer, about: 1 MiB, as other files are read. */
const pieceBytes = 2 ** 20

/** Decoders by codec. LZ4 of nothing, as a page without values has it, is one byte, which the library's decoder reads past. */
const decoders: Compressors = Object.fromEntries(
  Object.entries(compressors).map(([codec, decode]) => [
    codec,
    (input: Uint8Array, length: number) => (length === 0 ? new Uint8Array(0) : decode(input, length)),
  ]),
)

const strict = new TextDecoder('utf-8', { fatal: true })

/** Bytes of a column that does not say what they are: text where they are UTF-8, else base64. */
function textOf(bytes: Uint8Array): string {
  try {
    return strict.decode(bytes)
  } catch {
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')
  }
}

/** A value as JSON can tell it. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return textOf(value)
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, plain(field)]))
}

function bufferOf(handle: FileHandle, byteLength: number): AsyncBuffer {
  return {
    byteLength,
    async slice(start, end = byteLength) {
      const bytes = new Uint8Array(Math.max(0, end - start))
      let filled = 0
      while (filled < bytes.length) {
        const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, start + filled)
        if (bytesRead === 0) throw new Error('it ends too early')
        filled += bytesRead
      }
      return bytes.buffer
    },
  }
}

/** A row as JSON, and the share of all rows that it ends. */
interface Told {
  text: string
  share: number
}

/** Rows in order, a row group in memory at a time. */
async function* rowsOf(path: string): AsyncGenerator<Told> {
  const handle = await open(path, 'r')
  try {
    const file = bufferOf(handle, (await handle.stat()).size)
    const metadata = await parquetMetadataAsync(file, { geoparquet: false })
    const columns = parquetSchema(metadata).children.map(({ element }) => element.name)
    const names = columns.map((name) => JSON.stringify(name))
    const parsers = { stringFromBytes: (bytes: Uint8Array) => (bytes === undefined ? bytes : strict.decode(bytes)) }
    let rowStart = 0
    for (const group of metadata.row_groups) {
      const rowEnd = rowStart + Number(group.num_rows)
      let rows: unknown[][] = []
      const onComplete = (read: unknown[][]) => {
        rows = read
      }
      const read = { file, metadata, compressors: decoders, parsers, utf8: false, geoparquet: false, rowStart, rowEnd }
      await parquetRead({ ...read, rowFormat: 'array', onComplete })
      if (rows.length !== rowEnd - rowStart) throw new Error(`a group of ${rowEnd - rowStart} rows has ${rows.length}`)
      for (const [index, row] of rows.entries()) {
        const fields = names.map((name, column) => `${name}:${stringifyExactly(plain(row[column]))}`)
        yield { text: `{${fields.join(',')}}\n`, share: (rowStart + index + 1) / Number(metadata.num_rows) }
      }
      rowStart = rowEnd
    }
  } finally {
    await handle.close()
  }
}

const rows = rowsOf(workerData as string)

async function next(): Promise<ParquetAnswer> {
  const lines: string[] = []
  let length = 0
  let share = 1
  while (length < pieceBytes) {
    const row = await rows.next()
    if (row.done === true) break
    lines.push(row.value.text)
    length += row.value.text.length
    share = row.value.share
  }
  return { lines: new TextEncoder().encode(lines.join('')), share }
}

parentPort!.on('message', () => {
  next().then(
    (answer) => parentPort!.postMessage(answer),
    ({ syscall, code, message }: NodeJS.ErrnoException) => {
      parentPort!.postMessage({ code: syscall && code, message } satisfies ParquetAnswer)
    },
  )
})
