/** Files that are read by position, synchronously, and closed when nobody holds them any more. */
import { closeSync, fstatSync, openSync, readSync, unlinkSync, write } from 'node:fs'
import { tmpdir } from 'node:os'
import { promisify } from 'node:util'
import { FedloraError } from '../errors.js'
import { ioError, makeFolder, temporaryName } from './atomic.js'

const writeAsync = promisify(write)

const forgotten = new FinalizationRegistry<number>((descriptor) => {
  try {
    closeSync(descriptor)
  } catch {
    // Whoever closed it before has done the work.
  }
})

/** An open file. Its descriptor is closed by {@link close}, or when the object is collected. */
export class OpenFile {
  readonly path: string
  readonly #descriptor: number

  /** @throws FedloraError `E_IO`. */
  constructor(path: string, flags: 'r' | 'wx+') {
    try {
      this.#descriptor = openSync(path, flags, 0o600)
    } catch (error) {
      throw ioError(error, `cannot open '${path}'`)
    }
    this.path = path
    forgotten.register(this, this.#descriptor, this)
  }

  /** Bytes in the file, and when it was changed last (ms). */
  stat(): { size: number; changed: number } {
    const { size, mtimeMs } = fstatSync(this.#descriptor)
    return { size, changed: mtimeMs }
  }

  /**
   * Fills `target` with the bytes from `position`.
   * @throws FedloraError `E_IO` when the file ends before.
   */
  read(target: Uint8Array, position: number): void {
    let done = 0
    while (done < target.length) {
      let got: number
      try {
        got = readSync(this.#descriptor, target, done, target.length - done, position + done)
      } catch (error) {
        throw ioError(error, `cannot read '${this.path}'`)
      }
      if (got === 0) {
        throw new FedloraError('E_IO', `'${this.path}' ends at byte ${position + done}: it was cut while in use`, {
          path: this.path,
        })
      }
      done += got
    }
  }

  /** Writes all of `bytes` at `position`. */
  async write(bytes: Uint8Array, position: number): Promise<void> {
    let done = 0
    while (done < bytes.length) {
      const { bytesWritten } = await writeAsync(this.#descriptor, bytes, done, bytes.length - done, position + done)
      done += bytesWritten
    }
  }

  close(): void {
    forgotten.unregister(this)
    closeSync(this.#descriptor)
  }
}

/** A new file in `folder`, which is made when it is missing. */
export async function createFile(folder: string, name: string): Promise<OpenFile> {
  try {
    await makeFolder(folder)
  } catch (error) {
    throw ioError(error, `cannot make '${folder}'`)
  }
  return new OpenFile(temporaryName(`${folder}/${name}`), 'wx+')
}

/**
 * A file without a name, in the first of these folders that can be written, at last the system's: whatever ends the process, nothing
 * is left of it.
 * @throws FedloraError `E_IO` naming the last folder tried.
 */
export async function scratchFile(folders: readonly string[]): Promise<OpenFile> {
  let failure: unknown
  for (const folder of [...folders, tmpdir()]) {
    try {
      const file = await createFile(folder, 'scratch')
      unlinkSync(file.path)
      return file
    } catch (error) {
      failure = error
    }
  }
  throw failure
}
