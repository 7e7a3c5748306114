/**
 * The two ends of a link: what a client may ask of its server, and what a server answers, once its carrier has made sure who asks. Every
 * carrier (calls in one process, HTTPS, NATS) joins a `ClientLink` to a `Door`; one conformance suite judges them all.
 */
import type { BlobId, BlobRef } from '../blobs/blob-store.js'
import type { Description, Known, Notice, Reply, Word } from './messages.js'

/**
 * The server as one client sees it. A call that fails with a code of `isRetryable` (retry.ts) may or may not have had its effect: it is made
 * again, with the same arguments, as often as it takes.
 */
export interface ClientLink {
  /** The client's Ed25519 private key, raw, where the server knows it by one: what it says in a secure aggregation is signed with it. */
  readonly identity?: Uint8Array | undefined
  describe(signal: AbortSignal): Promise<Description>
  /** What the client lacks; undefined when nothing came for as long as the carrier waits: it asks again. */
  next(known: Known, signal: AbortSignal): Promise<Notice | undefined>
  /** @throws FedloraError `E_BLOB_MISSING` for an answer whose blob is not whole: send it first. */
  say(word: Word, signal: AbortSignal): Promise<Reply>
  /** Brings a blob to the file `path`, going on where an earlier call was cut; its hash is checked. */
  download(ref: BlobRef, path: string, signal: AbortSignal): Promise<void>
  /** Sends the blob that lies in the file `path`, going on where an earlier call was cut. */
  upload(ref: BlobRef, path: string, signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** The server as carriers see it. `client` is a name that the carrier has proof of. */
export interface Door {
  describe(): Promise<Description>
  /** Resolves when there is something that the client lacks, or with undefined when `signal` says that the carrier waits no longer. */
  next(client: string, known: Known, signal: AbortSignal): Promise<Notice | undefined>
  say(client: string, word: Word): Promise<Reply>
  /** Bytes of a blob that this client may read, from `from` on. @throws FedloraError `E_BLOB_MISSING`, also for what it may not. */
  read(client: string, blob: BlobId, from: number): Promise<{ bytes: number; chunks: AsyncIterable<Uint8Array> }>
  /** Bytes that have arrived of what this client sends. */
  offset(client: string, blob: BlobId): Promise<number>
  /**
   * Takes bytes of an answer: one blob a client and round, while its answer is waited for, no longer than the round allows.
   * @returns bytes that have arrived.
   * @throws FedloraError as `BlobStore.write`, `E_ROUND_CLOSED`, `E_TOO_LARGE`.
   */
  write(client: string, ref: BlobRef, from: number, chunks: AsyncIterable<Uint8Array>): Promise<number>
}

/** Who may come in: part of a server beside its `Door`, because carriers know clients by keys, and the federation by names. */
export interface Registry {
  /**
   * Uses up a token of `invite`, and binds the key to the name that it was made for. The same key with the same token again: the same answer.
   * @param key - Ed25519 public key, raw, base64url.
   * @throws FedloraError `E_TOKEN` (unknown or expired), `E_TOKEN_USED`.
   */
  enroll(token: string, key: string): Promise<{ client: string }>
  /**
   * Binds a key to the name of a client whose carrier has proof of it, without a token. Who was shut out needs an invitation first.
   * @throws FedloraError `E_REVOKED`, `E_AUTH` for another client's key.
   */
  admit(client: string, key: string): Promise<void>
  /** Name of the client that has a key. @throws FedloraError `E_AUTH` for nobody's, `E_REVOKED`. */
  clientOf(key: string): string
  /** A token for one client: it is told once, and only its hash is kept. */
  invite(name: string, seconds: number): Promise<{ token: string }>
  revoke(name: string): Promise<void>
}
