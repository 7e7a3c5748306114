/**
 * Answers that are given and not yet due: a file each, so that memory does not grow with them. A file is never changed; a checkpoint names
 * those that wait, and files that no checkpoint can name any more are removed.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { FedloraError } from '../../errors.js'
import { ioError, makeFolder, syncPath, temporaryName } from '../../files/atomic.js'
import { type Done, pack, unpack } from './answer-file.js'

const seconds = z.number().min(0)

/** An answer that waits, and when it is due. */
export const heldSchema = z.strictObject({
  client: z.string(),
  /** The round that it answers. */
  round: z.int().min(1),
  /** Virtual seconds at which it was asked for, and at which it arrives. */
  asked: seconds,
  finish: seconds,
  seconds: z.strictObject({ wait: seconds, download: seconds, compute: seconds, upload: seconds }),
  bytesDown: z.int().min(0),
  bytesUp: z.int().min(0),
  /** As float32. */
  bytesUpRaw: z.int().min(0),
  tokens: z.int().min(0),
  sha256: z.string().length(64),
})

export type Held = z.output<typeof heldSchema>

/** A client's part: when its answer is due (Infinity: never), and what it takes. */
export type Due = Omit<Held, 'sha256' | 'bytesUpRaw'>

/** Arrivals in virtual time; ties by name. */
const byArrival = (a: Held, b: Held) =>
  a.finish - b.finish || (a.client < b.client ? -1 : a.client > b.client ? 1 : a.round - b.round)

const nameOf = ({ client, round }: Pick<Held, 'client' | 'round'>) =>
  `${createHash('sha256').update(client).digest('hex').slice(0, 16)}.round-${round}.answer`

export class WaitingAnswers {
  readonly #folder: string
  readonly #held = new Map<string, Held>()
  /** Files that the last checkpoint names. */
  #named: Set<string>
  /** Those of them that wait no more. */
  #superseded = new Set<string>()

  private constructor(folder: string, held: readonly Held[]) {
    this.#folder = folder
    for (const one of held) this.#held.set(nameOf(one), one)
    this.#named = new Set(this.#held.keys())
  }

  /**
   * Opens `folder` with the answers that `held` names; every other file in it is left over and removed.
   * @throws FedloraError `E_CHECKPOINT` when one of them is missing: then nothing is removed.
   */
  static async open(folder: string, held: readonly Held[] = []): Promise<WaitingAnswers> {
    const waiting = new WaitingAnswers(folder, held)
    try {
      await makeFolder(folder)
      const there = await readdir(folder)
      for (const [name, { client }] of waiting.#held) {
        if (!there.includes(name)) throw missing(client, join(folder, name))
      }
      await waiting.#remove(there.filter((name) => !waiting.#held.has(name)))
    } catch (error) {
      throw ioError(error, `cannot open '${folder}'`)
    }
    return waiting
  }

  /** All that wait, in the order of their arrival. */
  get all(): Held[] {
    return [...this.#held.values()].sort(byArrival)
  }

  /** The next to arrive. */
  get first(): Held | undefined {
    let first: Held | undefined
    for (const held of this.#held.values()) if (first === undefined || byArrival(held, first) < 0) first = held
    return first
  }

  async put(held: Due, done: Done): Promise<void> {
    const bytes = pack(done)
    const name = nameOf(held)
    const path = join(this.#folder, name)
    const temporary = temporaryName(path)
    try {
      await writeFile(temporary, bytes, { flag: 'wx' })
      await rename(temporary, path)
    } catch (error) {
      await rm(temporary, { force: true })
      throw ioError(error, `cannot write '${path}'`)
    }
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    this.#held.set(name, { ...held, bytesUpRaw: done.bytesUpRaw, sha256 })
  }

  /** @throws FedloraError `E_CHECKPOINT` when its file is gone or changed. */
  async read(held: Held): Promise<Done> {
    const path = join(this.#folder, nameOf(held))
    const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'ENOENT' ? missing(held.client, path, error) : ioError(error, `cannot read '${path}'`)
    })
    if (createHash('sha256').update(bytes).digest('hex') !== held.sha256) {
      const message = `the answer of client ${held.client} that waits: '${path}' is not what was written; put it back, or start a new run`
      throw new FedloraError('E_CHECKPOINT', message, { path, client: held.client })
    }
    return { ...unpack(bytes), bytesUpRaw: held.bytesUpRaw }
  }

  /** It waits no more. */
  async drop(held: Held): Promise<void> {
    const name = nameOf(held)
    this.#held.delete(name)
    if (this.#named.has(name)) this.#superseded.add(name)
    else await this.#remove([name])
  }

  /** Makes the files durable; call before the checkpoint that names them is written. */
  async flush(): Promise<void> {
    try {
      for (const name of this.#held.keys()) if (!this.#named.has(name)) await syncPath(join(this.#folder, name))
      await syncPath(this.#folder)
    } catch (error) {
      throw ioError(error, `cannot flush '${this.#folder}'`)
    }
  }

  /** The checkpoint is written: what it does not name can go. */
  async committed(): Promise<void> {
    const useless = [...this.#superseded]
    this.#named = new Set(this.#held.keys())
    this.#superseded = new Set()
    await this.#remove(useless)
  }

  /** A file that cannot be removed does no harm, and the next opening tries again. */
  async #remove(names: readonly string[]): Promise<void> {
    await Promise.allSettled(names.map((name) => rm(join(this.#folder, name), { recursive: true, force: true })))
  }
}

function missing(client: string, path: string, cause?: unknown): FedloraError {
  const message = `the answer of client ${client} that waits: '${path}' is missing; put it back, or start a new run`
  return new FedloraError('E_CHECKPOINT', message, { path, client }, cause)
}
