/**
 * What clients keep between rounds: vectors of the algorithm, and the residuals of error feedback; one file a client, vector and round, so
 * that memory does not grow with the number of clients. A file is never changed: a checkpoint names the round whose file is valid for each
 * of them, and files that no checkpoint can name any more are removed.
 */
import { createHash } from 'node:crypto'
import { open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { FedloraError } from '../../errors.js'
import { ioError, makeFolder, syncPath, temporaryName } from '../../files/atomic.js'
import { decodeVector, encodeVector } from '../vector-message.js'

/** A vector that a client keeps: [client, vector, round of its valid file]. */
export type OwnEntry = [client: string, vector: string, round: number]

const keyOf = (client: string, vector: string) => JSON.stringify([client, vector])

/** In ascending order. */
const entriesOf = (rounds: ReadonlyMap<string, number>): OwnEntry[] =>
  [...rounds.keys()].sort().map((key) => [...(JSON.parse(key) as [string, string]), rounds.get(key)!])

/** Names may hold anything, file names may not: the first 64 bits of a name's SHA-256 stand for it. */
function fileName(key: string, round: number): string {
  const [client, vector] = JSON.parse(key) as [string, string]
  const id = createHash('sha256').update(client).digest('hex').slice(0, 16)
  return `client-${id}.${encodeURIComponent(vector)}.round-${round}.flup`
}

function missing(key: string, path: string, cause?: unknown): FedloraError {
  const [client, vector] = JSON.parse(key) as [string, string]
  const message = `what client ${client} kept (${vector}): '${path}' is missing; put it back, or start a new run`
  return new FedloraError('E_CHECKPOINT', message, { path, client }, cause)
}

/** Removes files that nothing names any more. One that cannot be removed does no harm, and the next opening tries again. */
async function remove(folder: string, names: readonly string[]): Promise<void> {
  await Promise.allSettled(names.map((name) => rm(join(folder, name), { recursive: true, force: true })))
}

export class OwnState {
  readonly #folder: string
  #index: Map<string, number>
  /** Of the round under way. */
  readonly #pending = new Map<string, number>()
  /** Files of `#index` that no checkpoint names yet. */
  #fresh = new Set<string>()
  /** Files that the last checkpoint names and `#index` does not. */
  #superseded = new Set<string>()

  private constructor(folder: string, index: Map<string, number>) {
    this.#folder = folder
    this.#index = index
  }

  /**
   * Opens `folder` with the vectors that `entries` name; every other file in it is left over and removed.
   * @param pending - what `written` gave of a round that is still under way.
   * @throws FedloraError `E_CHECKPOINT` when one that they name is missing: then nothing is removed.
   */
  static async open(
    folder: string,
    entries: readonly OwnEntry[] = [],
    pending: readonly OwnEntry[] = [],
  ): Promise<OwnState> {
    const indexOf = (list: readonly OwnEntry[]) =>
      new Map(list.map(([client, vector, round]) => [keyOf(client, vector), round]))
    const [index, underWay] = [indexOf(entries), indexOf(pending)]
    try {
      await makeFolder(folder)
      const names = await readdir(folder)
      const there = new Set(names)
      const valid = new Set<string>()
      for (const [key, round] of [...index, ...underWay]) {
        const name = fileName(key, round)
        if (!there.has(name)) throw missing(key, join(folder, name))
        valid.add(name)
      }
      await remove(
        folder,
        names.filter((name) => !valid.has(name)),
      )
    } catch (error) {
      throw ioError(error, `cannot open '${folder}'`)
    }
    const own = new OwnState(folder, index)
    for (const [key, round] of underWay) own.#pending.set(key, round)
    return own
  }

  /** As of the last ended round, in ascending order. */
  get entries(): OwnEntry[] {
    return entriesOf(this.#index)
  }

  /** Makes what was written in the round under way durable, and names it: with these names `open` takes the round up again. */
  async written(): Promise<OwnEntry[]> {
    const names = [...this.#pending].map(([key, round]) => fileName(key, round))
    await this.#sync(names)
    return entriesOf(this.#pending)
  }

  /** The round of what a client kept, as of the last ended one; undefined: it kept no such vector. */
  roundOf(client: string, vector: string): number | undefined {
    return this.#index.get(keyOf(client, vector))
  }

  /**
   * What a client kept as of the last ended round; undefined before its first.
   * @param length - that it must have, if it is known.
   */
  async read(client: string, vector: string, length?: number): Promise<Float32Array | undefined> {
    const key = keyOf(client, vector)
    const round = this.#index.get(key)
    if (round === undefined) return undefined
    const path = join(this.#folder, fileName(key, round))
    let bytes: Buffer
    try {
      bytes = await readFile(path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw ioError(error, `cannot read '${path}'`)
      throw missing(key, path, error)
    }
    const values = decodeVector(bytes)
    if (length !== undefined && values.length !== length) {
      const message = `what client ${client} kept (${vector}): '${path}' holds ${values.length} values, expected ${length}`
      throw new FedloraError('E_CHECKPOINT', message, { path })
    }
    return values
  }

  /** Stores what a client keeps of `round`; it counts from `endRound()` on. */
  async write(client: string, vector: string, round: number, values: Float32Array): Promise<void> {
    const key = keyOf(client, vector)
    const path = join(this.#folder, fileName(key, round))
    const temporary = temporaryName(path)
    try {
      const handle = await open(temporary, 'wx')
      try {
        await handle.writeFile(encodeVector(values))
      } finally {
        await handle.close()
      }
      await rename(temporary, path)
    } catch (error) {
      await rm(temporary, { force: true })
      throw ioError(error, `cannot write '${path}'`)
    }
    this.#pending.set(key, round)
  }

  /** What a client wrote in the round under way never was. */
  async forget(client: string): Promise<void> {
    const useless: string[] = []
    for (const [key, round] of this.#pending) {
      if ((JSON.parse(key) as [string, string])[0] !== client) continue
      this.#pending.delete(key)
      useless.push(fileName(key, round))
    }
    await remove(this.#folder, useless)
  }

  /** The round is complete: what was written in it replaces the earlier, all at once. */
  async endRound(): Promise<void> {
    const useless: string[] = []
    for (const [key, round] of this.#pending) {
      this.#fresh.add(fileName(key, round))
      const before = this.#index.get(key)
      if (before === undefined) continue
      const old = fileName(key, before)
      // A file that no checkpoint names is of no use to a resumed run.
      if (this.#fresh.delete(old)) useless.push(old)
      else this.#superseded.add(old)
    }
    this.#index = new Map([...this.#index, ...this.#pending])
    this.#pending.clear()
    await remove(this.#folder, useless)
  }

  /** The round came to nothing: what was written in it is removed, and the earlier stays. */
  async dropRound(): Promise<void> {
    const useless = [...this.#pending].map(([key, round]) => fileName(key, round))
    this.#pending.clear()
    await remove(this.#folder, useless)
  }

  /** Makes the ended rounds' files durable; call before the checkpoint that names them is written. */
  async flush(): Promise<void> {
    await this.#sync([...this.#fresh])
  }

  async #sync(names: readonly string[]): Promise<void> {
    try {
      for (const name of names) await syncPath(join(this.#folder, name))
      if (names.length > 0) await syncPath(this.#folder)
    } catch (error) {
      throw ioError(error, `cannot flush '${this.#folder}'`)
    }
  }

  /** The checkpoint is written: what it does not name can go. */
  async committed(): Promise<void> {
    const useless = [...this.#superseded]
    this.#fresh = new Set()
    this.#superseded = new Set()
    await remove(this.#folder, useless)
  }
}
