/**
 * One process at a time in a folder. Who wants in puts down a file `lock.PID.START` first and then looks at those of others: of two that
 * come together at least one sees the other. A file whose process is gone counts for nothing, so that nobody has to clear up after a kill.
 */
import { rmSync } from 'node:fs'
import { open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { FedloraError } from '../errors.js'
import { makeFolder } from './atomic.js'
import { diskError } from './disk.js'
import { processStart } from './process-start.js'

const lockName = /^lock\.(\d{1,10})\.([0-9a-z-]{1,40})$/

export interface Lock {
  /** Lets others in. */
  release(): void
}

/**
 * Takes a folder, which is made when it is missing, until `release` or the end of the process. Processes that cannot see each other (in
 * other containers, on other machines) are not told apart from dead ones: they must not share a folder.
 * @throws FedloraError `E_LOCKED` naming the process that has it, this one as well; `E_DISK_FULL`, `E_IO`.
 */
export async function lockFolder(folder: string): Promise<Lock> {
  await makeFolder(folder)
  const locked = (pid: number): FedloraError => {
    const who = pid === process.pid ? 'this process' : `process ${pid}`
    const message = `'${folder}' is in use by ${who}; wait until it has ended, or stop it`
    return new FedloraError('E_LOCKED', message, { folder, pid })
  }
  const own = `lock.${process.pid}.${await processStart(process.pid)}`
  try {
    await (await open(join(folder, own), 'wx')).close()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw locked(process.pid)
    throw diskError(error, `cannot lock '${folder}'`)
  }
  const release = () => rmSync(join(folder, own), { force: true })
  try {
    for (const name of await readdir(folder)) {
      const [, pid, start] = lockName.exec(name) ?? []
      if (pid === undefined || name === own) continue
      if ((await processStart(Number(pid))) === start) throw locked(Number(pid))
      await rm(join(folder, name), { force: true })
    }
  } catch (error) {
    release()
    throw diskError(error, `cannot lock '${folder}'`)
  }
  return { release }
}
