/** A disk that has no room: its own code, because whoever meets it goes on once there is some. */
import { statfs } from 'node:fs/promises'
import { formatBytes } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import { ioError } from './atomic.js'

/** As `ioError`, with `E_DISK_FULL` for a disk or a quota without room, also where `ioError` has been by. */
export function diskError(error: unknown, doing: string): unknown {
  const errno = error instanceof FedloraError ? error.details.errno : (error as NodeJS.ErrnoException | null)?.code
  if (errno !== 'ENOSPC' && errno !== 'EDQUOT') return ioError(error, doing)
  if (error instanceof FedloraError && error.code !== 'E_IO') return error
  const message = `${doing}: the disk is full (${errno}); nothing half-written counts: free some space, and it goes on`
  return new FedloraError('E_DISK_FULL', message, { errno }, error)
}

/**
 * Makes sure that `bytes` fit below `folder` and leave `reserve` bytes free.
 * @throws FedloraError `E_DISK_FULL`, `E_IO`.
 */
export async function checkRoom(folder: string, bytes: number, reserve: number): Promise<void> {
  let free: number
  try {
    const { bavail, bsize } = await statfs(folder)
    free = bavail * bsize
  } catch (error) {
    throw ioError(error, `cannot look at '${folder}'`)
  }
  if (free - bytes >= reserve) return
  const message = `'${folder}': ${formatBytes(free)} are free, expected ${formatBytes(bytes)} and ${formatBytes(reserve)} in reserve; free some space, and it goes on`
  throw new FedloraError('E_DISK_FULL', message, { folder, free, bytes, reserve })
}
