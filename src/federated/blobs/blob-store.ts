/** Bytes that are known by what they are: a blob's name is the SHA-256 of its bytes, so that it can be sent twice, in pieces, and by anybody. */
import { createHash } from 'node:crypto'
import { z } from 'zod'

/** SHA-256 of the bytes, 64 lower-case hexadecimal digits. */
export const blobIdSchema = z.string().regex(/^[0-9a-f]{64}$/, 'expected a SHA-256 as 64 lower-case hexadecimal digits')
export type BlobId = z.output<typeof blobIdSchema>

export const hashOf = (bytes: Uint8Array): BlobId => createHash('sha256').update(bytes).digest('hex')

export const blobRefSchema = z.strictObject({ blob: blobIdSchema, bytes: z.int().min(0) })
export type BlobRef = z.output<typeof blobRefSchema>

/** Where the blobs of a federation lie. What a resolved call has stored survives the process. */
export interface BlobStore {
  /** Bytes of a whole blob; undefined: it is not there, or not all of it. */
  sizeOf(id: BlobId): Promise<number | undefined>
  /** Bytes that have arrived of a blob, whole or not; 0 of one that nobody has begun. */
  offsetOf(id: BlobId): Promise<number>
  /**
   * Takes bytes of a blob from `from` on. The last byte makes it whole: its hash is checked, and it is durable, before the call resolves.
   * @returns bytes that have arrived, also when `chunks` ended early.
   * @throws FedloraError `E_UPLOAD_OFFSET` (`details.offset`) when `from` is not where it stands, `E_UPLOAD_BUSY` while another call writes it,
   * `E_HASH` when the whole is another blob (it is then forgotten), `E_TOO_LARGE` for bytes beyond `ref.bytes`, `E_DISK_FULL`, `E_IO`.
   */
  write(ref: BlobRef, from: number, chunks: AsyncIterable<Uint8Array>): Promise<number>
  /** Stores bytes that are all there. @throws FedloraError `E_DISK_FULL`, `E_IO`. */
  put(bytes: Uint8Array): Promise<BlobRef>
  /** The bytes of a whole blob from `from` on. @throws FedloraError `E_BLOB_MISSING`. */
  open(id: BlobId, from?: number): AsyncIterable<Uint8Array>
  /** All of a blob. @throws FedloraError `E_BLOB_MISSING`. */
  read(id: BlobId): Promise<Uint8Array>
  /** Removes every blob, whole or not, that `isNamed` denies. */
  collect(isNamed: (id: BlobId) => boolean): Promise<void>
  close(): Promise<void>
}
