/**
 * The tokens of large data sets on disk, one file a table, named by the digest of everything they were made of. Files appear whole or
 * not at all (written under another name, then renamed), so that any number of processes may share the folder; what a killed one
 * left is removed by the next that writes.
 */
import { readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { homedir, hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { isFedloraError } from '../../errors.js'
import { createFile, OpenFile } from '../../files/open-file.js'
import { readTable } from './token-file.js'
import type { TokenTable } from './token-table.js'

/** The folder that holds the cache unless an option names one: FEDLORA_CACHE, XDG_CACHE_HOME/fedlora, LOCALAPPDATA/fedlora, ~/.cache/fedlora. */
export function defaultCacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const { FEDLORA_CACHE: own, XDG_CACHE_HOME: xdg, LOCALAPPDATA: windows } = environment
  if (own) return resolve(own)
  if (xdg) return join(xdg, 'fedlora')
  if (process.platform === 'win32' && windows) return join(windows, 'fedlora')
  return join(homedir(), '.cache', 'fedlora')
}

/** Tables are removed, the longest unused first, until the folder holds no more bytes than this: 10 GiB. */
export const cacheLimit = 10 * 2 ** 30

/** A file left by another machine or container is taken for abandoned when nobody wrote to it for this long: a day, in ms. */
const abandonedAfter = 24 * 3600 * 1000

const extension = '.tokens'
const host = hostname().replace(/[^A-Za-z0-9-]/g, '-')

/** `…-host-process.partial…` names who is writing. */
const partialName = (key: string) => `${key.slice(0, 16)}-${host}-${process.pid}.partial`
const partialPattern = /-([A-Za-z0-9-]+)-(\d+)\.partial\./

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

export class TokenCache {
  readonly folder: string
  readonly #limit: number

  /** @param folder - the cache's; tables lie in `tokens/` below it. */
  constructor(folder: string, limit = cacheLimit) {
    this.folder = join(folder, 'tokens')
    this.#limit = limit
  }

  path(key: string): string {
    return join(this.folder, `${key}${extension}`)
  }

  /**
   * The table of `key`: undefined when there is none, 'damaged' when a file of that name is not what it says.
   * @param onProgress - as in {@link readTable}.
   */
  async open(
    key: string,
    onProgress: (done: number, total: number) => Promise<void>,
  ): Promise<TokenTable | undefined | 'damaged'> {
    let file: OpenFile
    try {
      file = new OpenFile(this.path(key), 'r')
    } catch {
      return undefined
    }
    let table: TokenTable | undefined
    try {
      table = await readTable(file, key, onProgress)
    } catch (error) {
      if (!isFedloraError(error, 'E_IO')) throw error
    }
    if (table === undefined) {
      file.close()
      return 'damaged'
    }
    const now = new Date()
    await utimes(this.path(key), now, now).catch(() => {}) // a folder of others: used, not touched
    return table
  }

  /** A file to write a table into; {@link keep} gives it its name. */
  async create(key: string): Promise<OpenFile> {
    const file = await createFile(this.folder, partialName(key))
    await this.#sweep()
    return file
  }

  /** Gives the file of a finished table its name, and makes room. */
  async keep(key: string, file: OpenFile): Promise<void> {
    await rename(file.path, this.path(key))
    await this.#prune(this.path(key))
  }

  /** Removes what `file` holds from the folder; it stays readable for who has it open. */
  async forget(file: OpenFile): Promise<void> {
    await rm(file.path, { force: true }).catch(() => {})
  }

  /** Removes unfinished files of processes that are gone. */
  async #sweep(): Promise<void> {
    for (const name of await readdir(this.folder).catch(() => [])) {
      const found = partialPattern.exec(name)
      if (found === null) continue
      const path = join(this.folder, name)
      const [, writer, pid] = found
      const gone =
        writer === host
          ? !isAlive(Number(pid))
          : Date.now() - ((await stat(path).catch(() => undefined))?.mtimeMs ?? Date.now()) > abandonedAfter
      if (gone) await rm(path, { force: true }).catch(() => {})
    }
  }

  async #prune(newest: string): Promise<void> {
    const files: { path: string; size: number; used: number }[] = []
    for (const name of await readdir(this.folder).catch(() => [])) {
      if (!name.endsWith(extension)) continue
      const path = join(this.folder, name)
      const found = await stat(path).catch(() => undefined)
      if (found !== undefined) files.push({ path, size: found.size, used: found.mtimeMs })
    }
    let total = files.reduce((sum, { size }) => sum + size, 0)
    for (const { path, size } of files.sort((a, b) => a.used - b.used)) {
      if (total <= this.#limit) return
      if (path === newest) continue
      await rm(path, { force: true }).catch(() => {})
      total -= size
    }
  }
}
