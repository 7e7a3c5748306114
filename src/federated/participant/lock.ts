/** One process at a time in a folder. */
import { rmSync } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FedloraError } from '../../errors.js'
import { ioError, makeFolder } from '../../files/atomic.js'

export interface Lock {
  release(): void
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** @throws FedloraError `E_LOCKED` naming the process that has it, `E_IO`. */
export async function lockFolder(folder: string): Promise<Lock> {
  await makeFolder(folder)
  const path = join(folder, 'lock')
  for (;;) {
    try {
      const handle = await open(path, 'wx')
      await handle.writeFile(String(process.pid))
      await handle.close()
      return { release: () => rmSync(path, { force: true }) }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw ioError(error, `cannot lock '${folder}'`)
    }
    const pid = Number(await readFile(path, 'utf8').catch(() => ''))
    if (isAlive(pid)) throw new FedloraError('E_LOCKED', `'${folder}' is in use by process ${pid}`, { folder, pid })
    rmSync(path, { force: true })
  }
}
