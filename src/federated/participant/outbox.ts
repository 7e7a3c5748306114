/**
 * What a client owes its server, on disk before it is sent: FOLDER/outbox/ROUND/
 *
 *   notice.json     the work that it has taken on              none of these: nothing was begun
 *   answer.bin      the vectors of its answer                  no manifest: it works again (same seed, same bytes)
 *   manifest.json   the answer, and what waits for its outcome no receipt: it sends
 *   receipt.json    what the server replied                    it waits for the outcome
 *
 * Each is written under another name, flushed and renamed, in this order: whatever is there is whole.
 */
import { createHash } from 'node:crypto'
import { open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { FedloraError } from '../../errors.js'
import { exists, hashFile, ioError, makeFolder, replaceFile, syncPath } from '../../files/atomic.js'
import { readJsonObject, writeJsonFile } from '../../files/json.js'
import type { BlobRef } from '../blobs/blob-store.js'
import { manifestSchema, noticeSchema, type Reply, replySchema } from '../link/messages.js'
import { outgoingSchema } from './outgoing.js'

const workSchema = noticeSchema.options[0]
/** Work that a server asks for. */
export type Work = z.output<typeof workSchema>

const preparedSchema = z.strictObject({
  manifest: manifestSchema,
  /** What the client keeps of the round when it counts: names of own-state.ts. */
  keeps: z.array(z.tuple([z.string(), z.string(), z.int().min(1)])),
  /** A byte of it may have left: from here on it is the answer of its round, whatever is said of it. */
  leaving: z.boolean(),
  /** State of the secure aggregation that the answer was masked with. */
  secure: z.base64().optional(),
  /** The answer as a person is told of it. */
  outgoing: outgoingSchema,
})
/** An answer that is ready to be sent. */
export type Prepared = z.output<typeof preparedSchema>

/** A round in the outbox. */
export interface Due {
  readonly work: Work
  readonly prepared?: Prepared
  readonly receipt?: Reply
}

const names = { notice: 'notice.json', answer: 'answer.bin', manifest: 'manifest.json', receipt: 'receipt.json' }

/** A file of the outbox as it was written. @throws FedloraError `E_CHECKPOINT` for another. */
async function read<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  if (!(await exists(path))) return undefined
  const value = await readJsonObject(path, 'outbox')
  const { success, data, error } = schema.safeParse(value)
  if (success) return data
  const message = `outbox: '${path}' is damaged (${error.issues[0]?.message}); remove its folder, and the round's work is done again`
  throw new FedloraError('E_CHECKPOINT', message, { path }, error)
}

export class Outbox {
  readonly #folder: string
  #due: Due | undefined

  private constructor(folder: string, due: Due | undefined) {
    this.#folder = folder
    this.#due = due
  }

  /**
   * Finds the round under way; rounds up to `settled`, and what was not wholly begun, are removed.
   * @throws FedloraError `E_CHECKPOINT` for files that are damaged, `E_IO`.
   */
  static async open(folder: string, settled: number): Promise<Outbox> {
    await makeFolder(folder)
    let due: Due | undefined
    const found = await readdir(folder).catch((error: unknown) => {
      throw ioError(error, `cannot read '${folder}'`)
    })
    for (const name of found) {
      const path = join(folder, name)
      const work = Number(name) > settled ? await read(join(path, names.notice), workSchema) : undefined
      if (work === undefined) await remove(path)
      else if (due !== undefined || String(work.round) !== name) {
        const message = `outbox: '${path}' is one round too many; a client works in one at a time`
        throw new FedloraError('E_CHECKPOINT', message, { path })
      } else due = { work, ...(await answered(path)) }
    }
    return new Outbox(folder, due)
  }

  /** The round whose work was taken on, and whose outcome is not known; undefined: none. */
  get due(): Due | undefined {
    return this.#due
  }

  /** Of the round under way: a file, or its folder. */
  path(...parts: readonly string[]): string {
    return join(this.#folder, String(this.#due!.work.round), ...parts)
  }

  /** Where the blob of the answer lies. */
  get answer(): string {
    return this.path(names.answer)
  }

  /** Takes work on. */
  async begin(work: Work): Promise<void> {
    await writeJsonFile(join(this.#folder, String(work.round), names.notice), work)
    await syncPath(this.#folder).catch((error: unknown) => {
      throw ioError(error, `cannot flush '${this.#folder}'`)
    })
    this.#due = { work }
  }

  /** Writes the bytes of an answer, one part after the other. @returns their name; null: nothing travels. */
  async writeAnswer(parts: readonly Uint8Array[]): Promise<BlobRef | null> {
    if (parts.length === 0) return null
    const hash = createHash('sha256')
    let bytes = 0
    await replaceFile(this.answer, async (temporary) => {
      const handle = await open(temporary, 'wx')
      try {
        for (const part of parts) {
          hash.update(part)
          bytes += part.length
          await handle.writeFile(part)
        }
      } finally {
        await handle.close()
      }
    })
    return { blob: hash.digest('hex'), bytes }
  }

  /** The answer is ready: from here on the same bytes are sent, however often. */
  async prepare(prepared: Prepared): Promise<void> {
    await writeJsonFile(this.path(names.manifest), prepared)
    this.#due = { work: this.#due!.work, prepared }
  }

  /** The answer may leave: nothing takes it back. */
  async release(): Promise<Prepared> {
    const prepared = { ...this.#due!.prepared!, leaving: true }
    await this.prepare(prepared)
    return prepared
  }

  /** The server has it, or will never have it. */
  async receive(receipt: Reply): Promise<void> {
    await writeJsonFile(this.path(names.receipt), receipt)
    this.#due = { ...this.#due!, receipt }
  }

  /** The server asks again for what it had: the same bytes are sent again. */
  async resend(): Promise<void> {
    await remove(this.path(names.receipt))
    const { receipt: _, ...due } = this.#due!
    this.#due = due
  }

  /** The round is settled: nothing of it is needed. */
  async clear(): Promise<void> {
    const path = this.path()
    this.#due = undefined
    await remove(path)
  }
}

/** Order matters little here: what is left is removed at the next opening. */
async function remove(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true }).catch((error: unknown) => {
    throw ioError(error, `cannot remove '${path}'`)
  })
}

/** What there is of an answer. Without the bytes that it names nothing can be sent, and the work is done again. */
async function answered(path: string): Promise<Omit<Due, 'work'>> {
  const prepared = await read(join(path, names.manifest), preparedSchema)
  if (prepared === undefined) return {}
  const receipt = await read(join(path, names.receipt), replySchema)
  if (receipt !== undefined) return { prepared, receipt }
  const { blob } = prepared.manifest
  const answer = join(path, names.answer)
  const whole = blob === null || ((await exists(answer)) && (await hashFile(answer)) === blob.blob)
  return whole ? { prepared } : {}
}
