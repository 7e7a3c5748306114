/** Files that only their owner may read (0600), whole or not there at all. */
import { open } from 'node:fs/promises'
import { replaceFile } from './atomic.js'

/** Writes a file that nobody else could ever read, not for a moment either. @throws FedloraError `E_IO`. */
export async function writeSecret(path: string, text: string): Promise<void> {
  await replaceFile(path, async (temporary) => {
    const handle = await open(temporary, 'wx', 0o600)
    try {
      await handle.writeFile(text)
    } finally {
      await handle.close()
    }
  })
}
