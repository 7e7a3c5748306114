/** A file's bytes in pieces, whatever they are wrapped in: gzip and zstd are unpacked, UTF-16 becomes UTF-8, a byte order mark is left out. */
import { createReadStream, type ReadStream } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { pipeline } from 'node:stream'
import * as zlib from 'node:zlib'
import { FedloraError } from '../../errors.js'
import { zstdPieces } from './zstd.js'

export interface ByteSource {
  /** UTF-8 bytes in order. A piece is good until the next is asked for. */
  readonly pieces: AsyncIterable<Buffer>
  /** Where the first piece begins in the file, when the pieces are the file's own bytes and can be read again; else undefined. */
  readonly at: number | undefined
  /** Bytes of the file, and how many of them were read. */
  readonly size: number
  readonly consumed: () => number
}

/** Read at once: 1 MiB, some 2,000 rows, which take about 10 ms. */
const pieceBytes = 2 ** 20

/** @throws FedloraError `E_MISSING`, `E_IO`. */
export function readError(file: string, error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException | null)?.code
  if (error instanceof FedloraError || typeof code !== 'string') return error
  if (code === 'ENOENT') return new FedloraError('E_MISSING', `${file}: does not exist`, { file }, error)
  if (code.startsWith('Z_') || code.startsWith('ERR_ZSTD')) {
    return new FedloraError(
      'E_DATA',
      `${file}: is damaged: ${(error as Error).message}; fetch or pack it again`,
      { file },
      error,
    )
  }
  return new FedloraError('E_IO', `${file}: could not be read: ${(error as Error).message}`, { file }, error)
}

const magics: readonly { kind: 'gzip' | 'zstd' | 'utf-16le' | 'utf-16be' | 'utf-8'; bytes: readonly number[] }[] = [
  { kind: 'gzip', bytes: [0x1f, 0x8b] },
  { kind: 'zstd', bytes: [0x28, 0xb5, 0x2f, 0xfd] },
  { kind: 'utf-16le', bytes: [0xff, 0xfe] },
  { kind: 'utf-16be', bytes: [0xfe, 0xff] },
  { kind: 'utf-8', bytes: [0xef, 0xbb, 0xbf] },
]

const kindOf = (head: Uint8Array) => magics.find(({ bytes }) => bytes.every((byte, i) => head[i] === byte))?.kind

/** The file's bytes as they are; `from` bytes are left out. One buffer serves all pieces. */
async function* ownPieces(handle: FileHandle, from: number, counter: { bytes: number }): AsyncGenerator<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(pieceBytes)
  let position = from
  for (;;) {
    const { bytesRead } = await handle.read(buffer, 0, pieceBytes, position)
    if (bytesRead === 0) return
    position += bytesRead
    counter.bytes = position
    yield buffer.subarray(0, bytesRead)
  }
}

async function* unpacked(raw: ReadStream, kind: 'gzip' | 'zstd'): AsyncGenerator<Buffer> {
  if (kind === 'zstd') yield* zstdPieces(raw)
  else {
    const stream = zlib.createGunzip({ chunkSize: 2 ** 18 })
    pipeline(raw, stream, () => {}) // a failure is thrown by the iteration
    yield* stream as AsyncIterable<Buffer>
  }
}

async function* transcoded(pieces: AsyncIterable<Buffer>, encoding: string): AsyncGenerator<Buffer> {
  const decoder = new TextDecoder(encoding, { fatal: true })
  for await (const piece of pieces) yield Buffer.from(decoder.decode(piece, { stream: true }))
  yield Buffer.from(decoder.decode())
}

/** Pieces without a byte order mark, in UTF-8, of what was unpacked. */
async function* asUtf8(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const iterator = pieces[Symbol.asyncIterator]()
  let head = Buffer.alloc(0)
  while (head.length < 3) {
    const next = await iterator.next()
    if (next.done === true) break
    head = Buffer.concat([head, next.value])
  }
  const kind = kindOf(head)
  const rest: AsyncIterable<Buffer> = {
    async *[Symbol.asyncIterator]() {
      yield kind === 'utf-8' ? head.subarray(3) : head
      for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value
    },
  }
  yield* kind === 'utf-16le' || kind === 'utf-16be' ? transcoded(rest, kind) : rest
}

async function* guarded(file: string, handle: FileHandle, pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* pieces
  } catch (error) {
    throw readError(file, error)
  } finally {
    await handle.close()
  }
}

/** @throws FedloraError `E_MISSING`, `E_IO` here; `E_DATA` (damaged), `E_IO` from the pieces. */
export async function openBytes(file: string): Promise<ByteSource> {
  let handle: FileHandle | undefined
  try {
    handle = await open(file, 'r')
    const stat = await handle.stat()
    const counter = { bytes: 0 }
    const size = stat.size
    const consumed = () => counter.bytes
    if (!stat.isFile()) {
      // A pipe can be read once, from its beginning.
      const stream = handle.createReadStream({ autoClose: false }) as AsyncIterable<Buffer>
      return { pieces: guarded(file, handle, asUtf8(stream)), at: undefined, size: 0, consumed }
    }
    const head = Buffer.alloc(4)
    await handle.read(head, 0, 4, 0)
    const kind = kindOf(head)
    if (kind === 'gzip' || kind === 'zstd') {
      const raw = createReadStream(file, { highWaterMark: 2 ** 18 })
      const pieces = guarded(file, handle, asUtf8(unpacked(raw, kind)))
      return { pieces, at: undefined, size, consumed: () => raw.bytesRead }
    }
    const start = kind === 'utf-8' ? 3 : 0
    const own = ownPieces(handle, start, counter)
    const wide = kind === 'utf-16le' || kind === 'utf-16be'
    return {
      pieces: guarded(file, handle, wide ? transcoded(own, kind) : own),
      at: wide ? undefined : start,
      size,
      consumed,
    }
  } catch (error) {
    await handle?.close().catch(() => {})
    throw readError(file, error)
  }
}
