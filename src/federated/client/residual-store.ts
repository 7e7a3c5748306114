/**
 * What each client has not sent yet: the residual of error feedback, one file a client and round, so that memory does not
 * grow with the number of clients. A file is never changed: a checkpoint names the round whose file is valid for each
 * client, and files that no checkpoint can name any more are removed.
 */
import { open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { FedloraError } from '../../errors.js'
import { ioError, makeFolder, syncPath, temporaryName } from '../../files/atomic.js'
import { native } from '../../native/load.js'
import { encodeVector } from '../vector-message.js'

function fileName(client: number, round: number): string {
  return `client-${client}.round-${round}.flup`
}

function missing(client: number, path: string, cause?: unknown): FedloraError {
  const message = `residual of client ${client}: '${path}' is missing; put it back, or start a new run`
  return new FedloraError('E_CHECKPOINT', message, { path, client }, cause)
}

/** Removes files that nothing names any more. One that cannot be removed does no harm, and the next opening tries again. */
async function remove(folder: string, names: readonly string[]): Promise<void> {
  await Promise.allSettled(names.map((name) => rm(join(folder, name), { recursive: true, force: true })))
}

/** Client → round of its valid residual. */
export type ResidualIndex = Map<number, number>

export class ResidualStore {
  readonly #folder: string
  readonly #length: number
  #index: ResidualIndex
  /** Residuals of the round under way. */
  readonly #pending: ResidualIndex = new Map()
  /** Files of `#index` that no checkpoint names yet. */
  #fresh = new Set<string>()
  /** Files that the last checkpoint names and `#index` does not. */
  #superseded = new Set<string>()

  private constructor(folder: string, length: number, index: ResidualIndex) {
    this.#folder = folder
    this.#length = length
    this.#index = index
  }

  /**
   * Opens `folder` with the residuals that `index` names; every other file in it is left over and removed.
   * @throws FedloraError `E_CHECKPOINT` when one that it names is missing: then nothing is removed.
   */
  static async open(
    folder: string,
    length: number,
    index: ReadonlyMap<number, number> = new Map(),
  ): Promise<ResidualStore> {
    const store = new ResidualStore(folder, length, new Map(index))
    try {
      await makeFolder(folder)
      const names = await readdir(folder)
      const there = new Set(names)
      const valid = new Set<string>()
      for (const [client, round] of index) {
        const name = fileName(client, round)
        if (!there.has(name)) throw missing(client, join(folder, name))
        valid.add(name)
      }
      await remove(
        folder,
        names.filter((name) => !valid.has(name)),
      )
    } catch (error) {
      throw ioError(error, `cannot open '${folder}'`)
    }
    return store
  }

  /** As of the last ended round. */
  get index(): ReadonlyMap<number, number> {
    return this.#index
  }

  /** The client's residual as of the last ended round, zeros before its first. */
  async read(client: number): Promise<Float32Array> {
    const round = this.#index.get(client)
    if (round === undefined) return new Float32Array(this.#length)
    const path = join(this.#folder, fileName(client, round))
    let bytes: Buffer
    try {
      bytes = await readFile(path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw ioError(error, `cannot read '${path}'`)
      throw missing(client, path, error)
    }
    const values = native().decodeUpdate(bytes)
    if (values.length !== this.#length) {
      throw new FedloraError(
        'E_CHECKPOINT',
        `residual of client ${client}: '${path}' holds ${values.length} values, expected ${this.#length}`,
        { path },
      )
    }
    return values
  }

  /** Stores the residual that `round` leaves; it counts from `endRound()` on. */
  async write(client: number, round: number, values: Float32Array): Promise<void> {
    const path = join(this.#folder, fileName(client, round))
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
    this.#pending.set(client, round)
  }

  /** The round is complete: its residuals replace the earlier ones, all at once. */
  async endRound(): Promise<void> {
    const useless: string[] = []
    for (const [client, round] of this.#pending) {
      this.#fresh.add(fileName(client, round))
      const before = this.#index.get(client)
      if (before === undefined) continue
      const old = fileName(client, before)
      // A file that no checkpoint names is of no use to a resumed run.
      if (this.#fresh.delete(old)) useless.push(old)
      else this.#superseded.add(old)
    }
    this.#index = new Map([...this.#index, ...this.#pending])
    this.#pending.clear()
    await remove(this.#folder, useless)
  }

  /** Makes the ended rounds' residuals durable; call before the checkpoint that names them is written. */
  async flush(): Promise<void> {
    try {
      for (const name of this.#fresh) await syncPath(join(this.#folder, name))
      if (this.#fresh.size > 0) await syncPath(this.#folder)
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
