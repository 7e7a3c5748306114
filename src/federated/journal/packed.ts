/**
 * Compaction of a journal: a segment behind which another one begins never changes again, and is packed (gzip, RFC 1952) to about a fifth.
 * Records are never left out: they are the only account of who did what, and the state of a server is the fold of all of them.
 */
import { createReadStream, createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { createGzip, gunzip } from 'node:zlib'
import { replaceFile, syncPath } from '../../files/atomic.js'

const gunzipAsync = promisify(gunzip)
/** Bytes that no segment unpacks to. */
const mostUnpacked = 1 << 28

export const packedName = (name: string): string => `${name}.gz`
export const isPacked = (name: string): boolean => name.endsWith('.gz')

/** Puts the packed form of a closed segment in its place. Killed anywhere, at least one of the two is there and whole. */
export async function pack(path: string): Promise<void> {
  await replaceFile(packedName(path), (temporary) =>
    pipeline(createReadStream(path), createGzip(), createWriteStream(temporary, { flags: 'wx' })),
  )
  await rm(path)
  await syncPath(dirname(path))
}

/** undefined: it is damaged. */
export async function unpack(bytes: Buffer): Promise<Buffer | undefined> {
  try {
    return await gunzipAsync(bytes, { maxOutputLength: mostUnpacked })
  } catch {
    return undefined
  }
}
