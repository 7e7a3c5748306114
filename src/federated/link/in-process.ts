/** A link within one process: the client's calls are the server's. For federations whose parties live together, and for tests. */
import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { FedloraError } from '../../errors.js'
import { hashFile, ioError, replaceFile } from '../../files/atomic.js'
import type { BlobRef } from '../blobs/blob-store.js'
import type { ClientLink, Door } from './link.js'
import {
  type Description,
  type Known,
  knownSchema,
  type Notice,
  noticeSchema,
  type Reply,
  type Word,
  wordSchema,
} from './messages.js'

/** As it would arrive through a wire. */
const sent = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T

/** A file from a byte on, opened when the first chunk is asked for. */
async function* chunksOf(path: string, start: number): AsyncGenerator<Uint8Array> {
  yield* createReadStream(path, { start }) as AsyncIterable<Uint8Array>
}

export class InProcessLink implements ClientLink {
  readonly #door: () => Door
  readonly #client: string
  readonly identity: Uint8Array | undefined

  /**
   * @param door - of the server, asked for at every call: it may be opened anew.
   * @param identity - the Ed25519 private key, raw, whose public key the client has joined with.
   */
  constructor(door: () => Door, client: string, identity?: Uint8Array) {
    this.#door = door
    this.#client = client
    this.identity = identity
  }

  async describe(signal: AbortSignal): Promise<Description> {
    signal.throwIfAborted()
    return sent(await this.#door().describe())
  }

  async next(known: Known, signal: AbortSignal): Promise<Notice | undefined> {
    const notice = await this.#door().next(this.#client, knownSchema.parse(sent(known)), signal)
    return notice && noticeSchema.parse(sent(notice))
  }

  async say(word: Word, signal: AbortSignal): Promise<Reply> {
    signal.throwIfAborted()
    return sent(await this.#door().say(this.#client, wordSchema.parse(sent(word))))
  }

  async download({ blob, bytes }: BlobRef, path: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const { chunks } = await this.#door().read(this.#client, blob, 0)
    await replaceFile(path, async (temporary) => {
      const file = await open(temporary, 'wx')
      try {
        for await (const chunk of chunks) await file.writeFile(chunk)
      } finally {
        await file.close()
      }
      const got = await hashFile(temporary)
      if (got === blob && (await stat(temporary)).size === bytes) return
      throw new FedloraError('E_HASH', `blob ${blob}: what came is another blob, ${got}`, { blob, got })
    })
  }

  async upload(ref: BlobRef, path: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const from = await this.#door().offset(this.#client, ref.blob)
    try {
      // Also when all bytes are there: it may be that nobody has made them a whole yet.
      await this.#door().write(this.#client, ref, from, chunksOf(path, from))
    } catch (error) {
      throw ioError(error, `cannot read '${path}'`)
    }
  }

  async close(): Promise<void> {}
}
