/** Blobs as objects of a bucket, in chunks of 512 KiB: below the server's limit of a message, and large enough to be fast. */
import { createHash } from 'node:crypto'
import type { ObjectResult, ObjectStore } from '@nats-io/obj'
import { FedloraError } from '../../errors.js'
import type { BlobId, BlobRef, BlobStore } from '../blobs/blob-store.js'
import { cutOf, jetstreams, type NatsConnection, natsError, objects } from './connect.js'
import { unlessAborted } from './patient.js'

const chunkBytes = 512 * 1024

/** A bucket of objects, and the connection that it is reached by. */
export type Bucket = ObjectStore & { readonly connection: NatsConnection }

/** Opens a bucket; `most`: bytes that it may hold, all together; `ttl`: seconds that an object stays. Without `make` it must be there. */
export async function openBucket(
  connection: NatsConnection,
  name: string,
  {
    make = true,
    most = -1,
    ttl = 0,
    replicas = 1,
  }: { make?: boolean; most?: number; ttl?: number; replicas?: number } = {},
): Promise<Bucket> {
  const { Objm, StorageType } = await objects()
  const manager = new Objm(connection)
  try {
    const store = await (make
      ? manager.create(name, { storage: StorageType.File, max_bytes: most, ttl: ttl * 1e9, replicas })
      : manager.open(name, false))
    return Object.assign(store, { connection })
  } catch (error) {
    throw natsError(error, `cannot open the bucket '${name}'`)
  }
}

const missing = (id: BlobId) => new FedloraError('E_BLOB_MISSING', `blob ${id} is not there`, { blob: id })

const other = (id: BlobId, cause?: unknown) =>
  new FedloraError('E_HASH', `blob ${id}: its bytes have another SHA-256`, { blob: id }, cause)

/** Puts what `chunks` gives as the object `id`; an object of other bytes is removed again. */
export async function putObject(bucket: ObjectStore, { blob, bytes }: BlobRef, chunks: AsyncIterable<Uint8Array>) {
  const hash = createHash('sha256')
  let sent = 0
  const counted = async function* () {
    for await (const chunk of chunks) {
      sent += chunk.length
      if (sent > bytes)
        throw new FedloraError('E_TOO_LARGE', `blob ${blob}: more than its ${bytes} bytes came`, { bytes })
      hash.update(chunk)
      yield chunk
    }
  }
  const iterator = counted()
  const failure: { error?: unknown } = {}
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await iterator.next()
        if (done) controller.close()
        else controller.enqueue(value)
      } catch (error) {
        failure.error = error
        controller.error(error)
      }
    },
  })
  try {
    await bucket.put({ name: blob, options: { max_chunk_size: chunkBytes } }, stream)
  } catch (error) {
    throw failure.error ?? natsError(error, `cannot store blob ${blob}`)
  }
  if (sent === bytes && hash.digest('hex') === blob) return sent
  await bucket.delete(blob)
  if (sent === bytes) throw other(blob)
  return sent
}

/**
 * The bytes of an object from `from` on; of all of them the hash is checked. What a cut took is asked for again. @param signal - ends the wait for more.
 * @throws FedloraError `E_BLOB_MISSING`, `E_HASH`; the signal's reason.
 */
export async function* readObject(
  bucket: Bucket,
  id: BlobId,
  from = 0,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for (let at = from; ; ) {
    const cut = cutOf(bucket.connection)
    try {
      for await (const chunk of bytesOf(bucket, id, at, signal === undefined ? cut : AbortSignal.any([cut, signal]))) {
        yield chunk
        at += chunk.length
      }
      return
    } catch (error) {
      if (error !== cut.reason) throw error
    }
  }
}

/** As `readObject`, asked for once. */
async function* bytesOf(
  bucket: ObjectStore,
  id: BlobId,
  from: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const found = await unlessAborted(bucket.get(id), signal, leave).catch((error: unknown) => {
    throw natsError(error, `cannot read blob ${id}`)
  })
  if (found === null) throw missing(id)
  const ended = found.error.catch((error: Error) => error) // it fails also where nobody waits for it
  const reader = found.data.getReader()
  const hash = createHash('sha256')
  let skip = from
  try {
    for (;;) {
      const { done, value } = await unlessAborted(reader.read(), signal)
      if (done) break
      hash.update(value)
      if (skip < value.length) yield value.subarray(skip)
      skip = Math.max(0, skip - value.length)
    }
  } catch (error) {
    throw natsError(error, `cannot read blob ${id}`)
  } finally {
    await reader.cancel().catch(() => {}) // nobody sends what nobody reads
  }
  const failed = await ended
  if (failed || hash.digest('hex') !== id) throw other(id, failed)
}

/** Nobody sends what nobody reads. */
function leave(found: ObjectResult | null): void {
  found?.error.catch(() => {})
  found?.data.cancel().catch(() => {})
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

/**
 * A store of blobs that several servers reach. An object is there whole or not at all: what has arrived of an upload waits in `staging`, a
 * store of this server's own.
 */
export class NatsBlobs implements BlobStore {
  readonly #bucket: Bucket
  readonly #staging: BlobStore
  readonly #busy = new Set<BlobId>()
  readonly #mayRemove: () => Promise<void>

  /** @param mayRemove - resolves when this server may remove what it does not know. @throws FedloraError `E_JOURNAL_FENCED` when it may not. */
  constructor(bucket: Bucket, staging: BlobStore, mayRemove = async () => {}) {
    this.#bucket = bucket
    this.#staging = staging
    this.#mayRemove = mayRemove
  }

  async sizeOf(id: BlobId): Promise<number | undefined> {
    const info = await this.#tried(this.#bucket.info(id), id)
    return info === null || info.deleted ? undefined : info.size
  }

  async offsetOf(id: BlobId): Promise<number> {
    const there = await this.sizeOf(id)
    if (there !== undefined) return there
    const staged = await this.#staging.sizeOf(id)
    if (staged === undefined || this.#busy.has(id)) return await this.#staging.offsetOf(id)
    // A server was killed between the two: whoever hears that all of it is here sends no more of it.
    return await this.write({ blob: id, bytes: staged }, staged, nothing())
  }

  async write(ref: BlobRef, from: number, chunks: AsyncIterable<Uint8Array>): Promise<number> {
    const { blob } = ref
    if (this.#busy.has(blob)) throw new FedloraError('E_UPLOAD_BUSY', `blob ${blob} is being written`, { blob })
    this.#busy.add(blob)
    try {
      return await this.#take(ref, from, chunks)
    } finally {
      this.#busy.delete(blob)
    }
  }

  async #take(ref: BlobRef, from: number, chunks: AsyncIterable<Uint8Array>): Promise<number> {
    const { blob, bytes } = ref
    const there = await this.sizeOf(blob)
    if (there !== undefined) {
      if (from === there) return there
      const message = `blob ${blob} stands at byte ${there}, got byte ${from}`
      throw new FedloraError('E_UPLOAD_OFFSET', message, { blob, offset: there })
    }
    const arrived = await this.#staging.write(ref, from, chunks)
    if (arrived === bytes) await this.#move(ref)
    return arrived
  }

  /** Brings a whole blob of `staging` where everybody finds it. */
  async #move(ref: BlobRef): Promise<void> {
    await putObject(this.#bucket, ref, this.#staging.open(ref.blob))
    await this.#staging.collect((id) => id !== ref.blob)
  }

  async put(bytes: Uint8Array): Promise<BlobRef> {
    const ref = await this.#staging.put(bytes)
    if ((await this.sizeOf(ref.blob)) === undefined) await this.#move(ref)
    return ref
  }

  open(id: BlobId, from = 0): AsyncIterable<Uint8Array> {
    return readObject(this.#bucket, id, from)
  }

  async read(id: BlobId): Promise<Uint8Array> {
    const chunks: Uint8Array[] = []
    for await (const chunk of this.open(id)) chunks.push(chunk)
    return Buffer.concat(chunks)
  }

  async collect(isNamed: (id: BlobId) => boolean): Promise<void> {
    await this.#staging.collect(isNamed)
    for (const { name, deleted } of await this.#tried(this.#bucket.list(), 'all')) {
      if (deleted || isNamed(name)) continue
      await this.#mayRemove()
      await this.#tried(this.#bucket.delete(name), name)
    }
  }

  async #tried<T>(asked: Promise<T>, id: string): Promise<T> {
    return await asked.catch((error: unknown) => {
      throw natsError(error, `the bucket of blobs (${id})`)
    })
  }

  /** The connection is its owner's. */
  async close(): Promise<void> {
    await this.#staging.close()
  }
}

/** Whether this server has JetStream at all. @throws FedloraError `E_UNSUPPORTED`. */
export async function checkJetStream(connection: NatsConnection): Promise<void> {
  const { jetstreamManager } = await jetstreams()
  try {
    await (await jetstreamManager(connection)).getAccountInfo()
  } catch (error) {
    const message = 'this NATS server has no JetStream for this user; turn it on (`jetstream { store_dir: … }`)'
    throw new FedloraError('E_UNSUPPORTED', message, {}, natsError(error, 'JetStream'))
  }
}
