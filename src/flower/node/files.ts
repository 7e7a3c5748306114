/** Files of bytes that are wholly there or not at all. */
import { open, readFile } from 'node:fs/promises'
import { ioError, replaceFile } from '../../files/atomic.js'

/** Writes and flushes a new file under its own name. */
export async function writeBytes(path: string, bytes: Uint8Array): Promise<void> {
  try {
    const handle = await open(path, 'w')
    try {
      await handle.writeFile(bytes)
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (error) {
    throw ioError(error, `cannot write '${path}'`)
  }
}

/** Writes a file that appears by one rename. */
export async function replaceBytes(path: string, bytes: Uint8Array): Promise<void> {
  await replaceFile(path, (temporary) => writeBytes(temporary, bytes))
}

/** Undefined when it is not there. @throws FedloraError `E_IO`. */
export async function readBytes(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw ioError(error, `cannot read '${path}'`)
  }
}
