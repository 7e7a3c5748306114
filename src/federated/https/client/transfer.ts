/** Blobs to and from files, going on where an earlier transfer was cut. */
import { createReadStream } from 'node:fs'
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { dirname } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { FedloraError } from '../../../errors.js'
import { exists, hashFile, ioError, syncPath } from '../../../files/atomic.js'
import type { BlobRef } from '../../blobs/blob-store.js'
import { fieldOf, wholeNumber } from '../wire.js'

/** Milliseconds for which it waits for leave; then it sends, because some proxies do not pass the question on. */
const waitsForLeave = 2000

/** What could not be written, coded: a full disk is told apart. */
function writeError(error: unknown, path: string): unknown {
  if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') return ioError(error, `cannot write '${path}'`)
  return new FedloraError(
    'E_DISK_FULL',
    `cannot write '${path}': the disk is full; free some space, and it goes on from here`,
    { path },
    error,
  )
}

/** Bytes of a file that is not whole yet. */
async function sizeOf(path: string): Promise<number> {
  return (await exists(path)) ? (await stat(path)).size : 0
}

/** Writes bytes at a place. @throws FedloraError `E_DISK_FULL`, `E_IO`. */
async function writeAt(file: FileHandle, bytes: Uint8Array, at: number, path: string): Promise<void> {
  try {
    for (let done = 0; done < bytes.length; ) {
      done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten
    }
  } catch (error) {
    throw writeError(error, path)
  }
}

/**
 * Brings a blob into `path` by way of `path`.part, where what has come survives a cut.
 * @param get - asks for the blob from a byte on; its answer has status 200 or 206.
 * @throws FedloraError `E_HASH` for other bytes, which are forgotten, `E_UNREACHABLE` for a cut, `E_DISK_FULL`, `E_IO`.
 */
export async function downloadTo(
  path: string,
  { blob, bytes }: BlobRef,
  get: (from: number) => Promise<IncomingMessage>,
): Promise<void> {
  const part = `${path}.part`
  let from = await sizeOf(part)
  if (from > bytes) from = 0
  if (from < bytes || bytes === 0) {
    const file = await open(part, from === 0 ? 'w' : 'r+').catch((error) => {
      throw writeError(error, part)
    })
    try {
      await receive(file, part, from, bytes, get)
    } finally {
      await file.close()
    }
  }
  if ((await hashFile(part)) !== blob) {
    await rm(part, { force: true })
    throw new FedloraError('E_HASH', `what came as blob ${blob} are other bytes; they are forgotten`, { blob })
  }
  await rename(part, path)
  await syncPath(dirname(path))
}

/** Takes the bytes from `from` on, or all of them where the server sends all. @throws also what a stream throws when it is cut. */
async function receive(
  file: FileHandle,
  path: string,
  from: number,
  bytes: number,
  get: (from: number) => Promise<IncomingMessage>,
): Promise<void> {
  const message = await get(from)
  const range = /^bytes (\d+)-/.exec(fieldOf(message.headers, 'content-range') ?? '')?.[1]
  let at = message.statusCode === 206 ? wholeNumber(range) : 0
  if (at !== from && at !== 0) {
    message.destroy()
    throw new FedloraError('E_PROTOCOL', `bytes from ${from} on were asked for, and came from ${at}`)
  }
  if (at !== from) await file.truncate(0)
  try {
    for await (const chunk of message) {
      const piece = chunk as Buffer
      if (at + piece.length > bytes) {
        throw new FedloraError('E_HASH', `more than the ${bytes} bytes of the blob came`, { bytes })
      }
      await writeAt(file, piece, at, path)
      at += piece.length
    }
  } finally {
    message.destroy()
    await file.sync()
  }
  if (at < bytes)
    throw new FedloraError('E_UNREACHABLE', `the blob was cut after ${at} of ${bytes} bytes`, { at, bytes })
}

/** Sends bytes `from` to `end` of a file as the content of a request, once the server has given leave where the request asks for it (`expect`). */
export async function sendFile(request: ClientRequest, path: string, from: number, end: number): Promise<void> {
  if (request.hasHeader('expect')) {
    const go = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(true), waitsForLeave)
      const settle = (leave: boolean) => () => {
        clearTimeout(timer)
        resolve(leave)
      }
      request.once('continue', settle(true))
      request.once('response', settle(false))
      request.once('error', settle(false))
      request.flushHeaders()
    })
    if (!go) return
  }
  if (end === from) request.end()
  else await pipeline(createReadStream(path, { start: from, end: end - 1, highWaterMark: 262_144 }), request)
}
