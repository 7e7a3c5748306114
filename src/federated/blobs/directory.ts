/**
 * Blobs in a folder of this machine: a whole one is the file HASH, one that is arriving HASH.part, whose length is its offset. It becomes whole by
 * a rename, after its bytes were flushed and their hash was read back from the file. One process at a time.
 */
import { createReadStream } from 'node:fs'
import { type FileHandle, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describeValue } from '../../errors/describe.js'
import { FedloraError } from '../../errors.js'
import { hashFile, replaceFile, syncPath } from '../../files/atomic.js'
import { checkRoom, diskError } from '../../files/disk.js'
import { type Lock, lockFolder } from '../../files/lock.js'
import { checkPath } from '../../files/path.js'
import { type BlobId, type BlobRef, type BlobStore, blobIdSchema, blobRefSchema, hashOf } from './blob-store.js'

export interface DirectoryBlobsOptions {
  /** Bytes of the disk that blobs leave free, so that a journal beside them can still be written. Default 256 MiB. */
  reserve?: number
}

const partEnd = '.part'
const isPart = (name: string) => /^[0-9a-f]{64}\.part$/.test(name)
const isTemporary = (name: string) => /^\.[0-9a-f]{64}\..*\.tmp$/.test(name)

/**
 * Opens the blobs of a folder, which is made when it is missing.
 *
 * ```ts
 * const blobs = await openDirectoryBlobs('server/blobs')
 * const { blob } = await blobs.put(new TextEncoder().encode('bytes'))
 * console.log(await blobs.sizeOf(blob)) // 5
 * await blobs.close()
 * ```
 *
 * @throws FedloraError `E_LOCKED` while another process has them, `E_DISK_FULL`, `E_IO`.
 */
export async function openDirectoryBlobs(folder: string, options: DirectoryBlobsOptions = {}): Promise<BlobStore> {
  checkPath(folder, 'the folder of blobs')
  const { reserve = 1 << 28 } = options
  if (!(Number.isSafeInteger(reserve) && reserve >= 0)) {
    throw new FedloraError(
      'E_ARGUMENT',
      `reserve: got ${describeValue(reserve)}, expected bytes, an integer of at least 0`,
    )
  }
  const lock = await lockFolder(folder)
  try {
    await mend(folder)
  } catch (error) {
    lock.release()
    throw diskError(error, `cannot open the blobs '${folder}'`)
  }
  return new DirectoryBlobs(folder, lock, reserve)
}

/** Does what a process that was killed has left: half-written files go, all of whose bytes had arrived become whole, renames are flushed. */
async function mend(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name)
    if (isTemporary(name)) await rm(path)
    if (!isPart(name) || (await hashFile(path)) !== name.slice(0, -partEnd.length)) continue
    await syncPath(path)
    await rename(path, path.slice(0, -partEnd.length))
  }
  await syncPath(folder)
}

class DirectoryBlobs implements BlobStore {
  /** Blobs that a call writes. */
  readonly #busy = new Set<BlobId>()

  constructor(
    readonly folder: string,
    private readonly lock: Lock,
    private readonly reserve: number,
  ) {}

  async sizeOf(id: BlobId): Promise<number | undefined> {
    return fileSize(this.#whole(id))
  }

  async offsetOf(id: BlobId): Promise<number> {
    return (await fileSize(this.#whole(id))) ?? (await fileSize(this.#part(id))) ?? 0
  }

  async write(ref: BlobRef, from: number, chunks: AsyncIterable<Uint8Array>): Promise<number> {
    const { blob, bytes } = checkRef(ref)
    if (this.#busy.has(blob)) {
      throw new FedloraError('E_UPLOAD_BUSY', `blob ${blob}: another call writes it; ask for its offset, and go on`, {
        blob,
      })
    }
    this.#busy.add(blob)
    try {
      const offset = await this.offsetOf(blob)
      if (from !== offset) {
        const message = `blob ${blob}: got bytes from ${describeValue(from)}, expected from ${offset}, where it stands`
        throw new FedloraError('E_UPLOAD_OFFSET', message, { blob, offset })
      }
      const whole = (await this.sizeOf(blob)) !== undefined
      await checkRoom(this.folder, Math.max(0, bytes - offset), this.reserve)
      return await (whole ? this.#nothingMore(ref, chunks) : this.#take(ref, offset, chunks))
    } finally {
      this.#busy.delete(blob)
    }
  }

  async put(bytes: Uint8Array): Promise<BlobRef> {
    const ref = { blob: hashOf(bytes), bytes: bytes.length }
    if ((await this.sizeOf(ref.blob)) !== undefined) return ref
    await checkRoom(this.folder, bytes.length, this.reserve)
    try {
      await replaceFile(this.#whole(ref.blob), (temporary) => writeNew(temporary, bytes))
    } catch (error) {
      throw diskError(error, `cannot store blob ${ref.blob}`)
    }
    return ref
  }

  async *open(id: BlobId, from = 0): AsyncGenerator<Uint8Array, void, undefined> {
    const path = this.#whole(id)
    if ((await fileSize(path)) === undefined) throw missing(id)
    try {
      yield* createReadStream(path, { start: from }) as AsyncIterable<Uint8Array>
    } catch (error) {
      throw diskError(error, `cannot read blob ${id}`)
    }
  }

  async read(id: BlobId): Promise<Uint8Array> {
    try {
      return await readFile(this.#whole(id))
    } catch (error) {
      throw (error as NodeJS.ErrnoException).code === 'ENOENT'
        ? missing(id)
        : diskError(error, `cannot read blob ${id}`)
    }
  }

  /** Those that a call is writing stay until the next time. */
  async collect(isNamed: (id: BlobId) => boolean): Promise<void> {
    try {
      for (const name of await readdir(this.folder)) {
        const id = name.replace(/\.part$/, '')
        if (!blobIdSchema.safeParse(id).success || this.#busy.has(id) || isNamed(id)) continue
        await rm(join(this.folder, name), { force: true }) // gone: it became whole meanwhile
      }
    } catch (error) {
      throw diskError(error, `cannot collect the blobs in '${this.folder}'`)
    }
  }

  async close(): Promise<void> {
    this.lock.release()
  }

  /** A path is made of nothing but a checked hash. */
  #whole(id: BlobId): string {
    return join(this.folder, checkId(id))
  }

  #part(id: BlobId): string {
    return join(this.folder, checkId(id) + partEnd)
  }

  async #take(ref: BlobRef, offset: number, chunks: AsyncIterable<Uint8Array>): Promise<number> {
    const path = this.#part(ref.blob)
    let at = offset
    try {
      const file = await open(path, 'a')
      try {
        if (at > ref.bytes) throw tooLarge(ref)
        try {
          for await (const chunk of chunks) {
            if (at + chunk.length > ref.bytes) throw tooLarge(ref)
            await writeAll(file, chunk)
            at += chunk.length
          }
        } catch (error) {
          if (at < ref.bytes || error instanceof FedloraError) throw error // else: cut behind the last byte
        }
        if (at === ref.bytes) await file.sync()
      } finally {
        await file.close()
      }
      return at < ref.bytes ? at : await this.#finish(ref, path)
    } catch (error) {
      throw diskError(error, `cannot write blob ${ref.blob}`)
    }
  }

  async #finish({ blob, bytes }: BlobRef, path: string): Promise<number> {
    const got = await hashFile(path)
    if (got !== blob) {
      await rm(path)
      throw new FedloraError('E_HASH', `blob ${blob}: its ${bytes} bytes are another blob, ${got}; send it anew`, {
        blob,
        got,
      })
    }
    await rename(path, this.#whole(blob))
    await syncPath(this.folder)
    return bytes
  }

  /** Of a blob that is whole. */
  async #nothingMore(ref: BlobRef, chunks: AsyncIterable<Uint8Array>): Promise<number> {
    const size = (await this.sizeOf(ref.blob))!
    if (size !== ref.bytes) {
      throw new FedloraError('E_HASH', `blob ${ref.blob}: it has ${size} bytes, got ${ref.bytes}`, { blob: ref.blob })
    }
    for await (const chunk of chunks) if (chunk.length > 0) throw tooLarge(ref)
    return size
  }
}

function checkId(id: BlobId): BlobId {
  if (blobIdSchema.safeParse(id).success) return id
  const message = `got ${describeValue(id)}, expected a SHA-256 as 64 lower-case hexadecimal digits`
  throw new FedloraError('E_ARGUMENT', `name of a blob: ${message}`)
}

function checkRef(ref: BlobRef): BlobRef {
  const parsed = blobRefSchema.safeParse(ref)
  if (parsed.success) return parsed.data
  const message = `got ${describeValue(ref)}, expected {blob, bytes}: ${parsed.error.issues[0]!.message}`
  throw new FedloraError('E_ARGUMENT', `reference to a blob: ${message}`)
}

const missing = (blob: BlobId) => new FedloraError('E_BLOB_MISSING', `blob ${blob} is not there`, { blob })

const tooLarge = ({ blob, bytes }: BlobRef) =>
  new FedloraError('E_TOO_LARGE', `blob ${blob}: more than the ${bytes} bytes that were announced`, { blob, bytes })

async function fileSize(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw diskError(error, `cannot look at '${path}'`)
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) done += (await file.write(bytes, done)).bytesWritten
}

async function writeNew(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'wx')
  try {
    await writeAll(file, bytes)
  } finally {
    await file.close()
  }
}
