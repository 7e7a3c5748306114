/** Files that are either wholly there or not at all: written under a temporary name, flushed to the device, then renamed. */
import { createHash, randomBytes } from 'node:crypto'
import { constants, rmSync } from 'node:fs'
import { copyFile, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { FedloraError } from '../errors.js'

/** An operating-system failure as a coded error; anything else passes through. */
export function ioError(error: unknown, doing: string): unknown {
  const code = (error as NodeJS.ErrnoException | null)?.code
  if (error instanceof FedloraError || typeof code !== 'string') return error
  const hint = code === 'ENOSPC' ? ': the disk is full; free some space and run again' : ''
  return new FedloraError('E_IO', `${doing}: ${(error as Error).message}${hint}`, { errno: code }, error)
}

/** Files and folders that are being written. */
const unfinished = new Set<string>()

/** A name beside `path` that no other writer uses. */
export function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`)
}

/** Removes what is half-written, because the process ends now. */
export function removeTemporaries(): void {
  for (const path of unfinished) {
    try {
      rmSync(path, { recursive: true, force: true })
    } catch {} // the process ends; there is nobody to tell
  }
}

/** Flushes a file's data, or a folder's entries, to the device. Windows flushes what is open for writing, and no folders. */
export async function syncPath(path: string): Promise<void> {
  const windows = process.platform === 'win32'
  if (windows && (await stat(path)).isDirectory()) return
  const handle = await open(path, windows ? constants.O_RDWR : constants.O_RDONLY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/**
 * Makes a folder and those above it that are missing, one by one: Node's recursive mkdir never returns below places such as /proc.
 * @returns the highest of them, undefined when none was missing.
 * @throws FedloraError `E_IO`.
 */
export async function makeFolder(path: string): Promise<string | undefined> {
  const missing: string[] = []
  let above = resolve(path)
  for (; !(await exists(above)) && dirname(above) !== above; above = dirname(above)) missing.unshift(above)
  try {
    for (const folder of missing) {
      await mkdir(folder).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error // another process was faster
      })
    }
  } catch (error) {
    throw ioError(error, `cannot make '${path}'`)
  }
  if (!(await stat(path)).isDirectory()) {
    throw new FedloraError('E_IO', `cannot make '${path}': it is a file; choose another name`, { path })
  }
  return missing[0]
}

/** Runs `write` on a temporary name beside `path` and renames the result to `path`; on failure nothing is left behind. */
export async function replaceFile(path: string, write: (temporary: string) => Promise<void> | void): Promise<void> {
  const temporary = temporaryName(path)
  unfinished.add(temporary)
  try {
    await makeFolder(dirname(path))
    await write(temporary)
    await syncPath(temporary)
    await rename(temporary, path)
    await syncPath(dirname(path))
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {}) // the failure that matters is the first one
    throw ioError(error, `cannot write '${path}'`)
  } finally {
    unfinished.delete(temporary)
  }
}

/** Writes text atomically. */
export async function writeTextFile(path: string, text: string): Promise<void> {
  await replaceFile(path, async (temporary) => {
    const handle = await open(temporary, 'wx')
    try {
      await handle.writeFile(text)
    } finally {
      await handle.close()
    }
  })
}

/** Copies a file atomically; false when the source does not exist. */
export async function copyFileIfThere(from: string, to: string): Promise<boolean> {
  if (!(await exists(from))) return false
  await replaceFile(to, (temporary) => copyFile(from, temporary))
  return true
}

/** Fills a temporary folder by `fill` and renames it to `path`; an older folder of that name is replaced. */
export async function replaceFolder(path: string, fill: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = temporaryName(path)
  unfinished.add(temporary)
  try {
    await makeFolder(temporary)
    await fill(temporary)
    await syncPath(temporary)
    await rm(path, { recursive: true, force: true })
    await rename(temporary, path)
    await syncPath(dirname(path))
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => {})
    throw ioError(error, `cannot write '${path}'`)
  } finally {
    unfinished.delete(temporary)
  }
}

/** True when something lies at `path`. */
export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || (error as NodeJS.ErrnoException).code === 'ENOTDIR')
      return false
    throw ioError(error, `cannot look at '${path}'`)
  }
}

/** SHA-256 of a file, in hexadecimal. */
export async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  const file = await open(path)
  try {
    const piece = Buffer.allocUnsafeSlow(262_144) // one for all of it: a stream makes one for each, which a busy server has to collect
    for (let got = 1; got > 0; ) {
      got = (await file.read(piece, 0, piece.length)).bytesRead
      hash.update(piece.subarray(0, got))
    }
  } finally {
    await file.close()
  }
  return hash.digest('hex')
}
