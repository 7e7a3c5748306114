/** Blobs that end with their process: for federations within one, and for tests. */
import { createHash } from 'node:crypto'
import { FedloraError } from '../../errors.js'
import type { BlobId, BlobRef, BlobStore } from './blob-store.js'

const hashOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

export class MemoryBlobs implements BlobStore {
  readonly #whole = new Map<BlobId, Uint8Array>()
  readonly #begun = new Map<BlobId, Uint8Array>()
  readonly #busy = new Set<BlobId>()

  async sizeOf(id: BlobId): Promise<number | undefined> {
    return this.#whole.get(id)?.length
  }

  async offsetOf(id: BlobId): Promise<number> {
    return (this.#whole.get(id) ?? this.#begun.get(id))?.length ?? 0
  }

  async write({ blob, bytes }: BlobRef, from: number, chunks: AsyncIterable<Uint8Array>): Promise<number> {
    if (this.#busy.has(blob)) {
      throw new FedloraError('E_UPLOAD_BUSY', `blob ${blob}: another request writes it; ask for its offset, and go on`)
    }
    this.#busy.add(blob)
    try {
      const offset = await this.offsetOf(blob)
      if (from !== offset) {
        const message = `blob ${blob}: got bytes from ${from}, expected from ${offset}, where it stands`
        throw new FedloraError('E_UPLOAD_OFFSET', message, { offset })
      }
      for await (const chunk of chunks) this.#take(blob, bytes, chunk)
      return this.#completed(blob, bytes)
    } finally {
      this.#busy.delete(blob)
    }
  }

  #take(blob: BlobId, bytes: number, chunk: Uint8Array): void {
    const before = this.#whole.get(blob) ?? this.#begun.get(blob) ?? new Uint8Array(0)
    if (before.length + chunk.length > bytes) {
      throw new FedloraError('E_TOO_LARGE', `blob ${blob}: more than the ${bytes} bytes that were announced`, { bytes })
    }
    if (chunk.length > 0) this.#begun.set(blob, Buffer.concat([before, chunk]))
  }

  /** Bytes that are there; all of them make it whole. */
  #completed(blob: BlobId, bytes: number): number {
    if (this.#whole.has(blob)) return this.#whole.get(blob)!.length
    const begun = this.#begun.get(blob) ?? new Uint8Array(0)
    if (begun.length < bytes) return begun.length
    this.#begun.delete(blob)
    const got = hashOf(begun)
    if (got !== blob) throw new FedloraError('E_HASH', `blob ${blob}: its bytes are another blob, ${got}; send it anew`)
    this.#whole.set(blob, begun)
    return begun.length
  }

  async put(bytes: Uint8Array): Promise<BlobRef> {
    const blob = hashOf(bytes)
    this.#whole.set(blob, bytes.slice())
    return { blob, bytes: bytes.length }
  }

  async *open(id: BlobId, from = 0): AsyncGenerator<Uint8Array, void, undefined> {
    yield (await this.read(id)).subarray(from)
  }

  async read(id: BlobId): Promise<Uint8Array> {
    const bytes = this.#whole.get(id)
    if (bytes === undefined) throw new FedloraError('E_BLOB_MISSING', `blob ${id} is not there`, { blob: id })
    return bytes
  }

  async collect(isNamed: (id: BlobId) => boolean): Promise<void> {
    for (const blobs of [this.#whole, this.#begun])
      for (const id of [...blobs.keys()]) if (!isNamed(id)) blobs.delete(id)
  }

  async close(): Promise<void> {}
}
