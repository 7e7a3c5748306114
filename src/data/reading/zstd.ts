/** Zstandard: Node's own decoder where there is one (22.15 and later), else one in JavaScript. */
import { pipeline, type Readable } from 'node:stream'
import * as zlib from 'node:zlib'
import { Decompress } from 'fzstd'

const { createZstdDecompress } = zlib as {
  createZstdDecompress?: (options: { chunkSize: number }) => NodeJS.ReadWriteStream
}

/** A failure of the decoder, named as Node names those of its own. */
function decoderError(error: unknown): Error {
  return Object.assign(new Error((error as Error).message, { cause: error }), { code: 'ERR_ZSTD' })
}

/** What `packed` holds. Frames may follow one another. */
export async function* zstdPieces(packed: Readable): AsyncGenerator<Buffer> {
  if (createZstdDecompress !== undefined) {
    const stream = createZstdDecompress({ chunkSize: 2 ** 18 })
    pipeline(packed, stream, () => {}) // a failure is thrown by the iteration
    yield* stream as unknown as AsyncIterable<Buffer>
    return
  }
  let made: Buffer[] = []
  const decoder = new Decompress((piece) => made.push(Buffer.from(piece)))
  const feed = (bytes: Uint8Array, last: boolean) => {
    try {
      decoder.push(bytes, last)
    } catch (error) {
      throw decoderError(error)
    }
  }
  for await (const chunk of packed as AsyncIterable<Buffer>) {
    feed(chunk, false)
    yield* made
    made = []
  }
  feed(new Uint8Array(0), true)
  yield* made
}
