/** A disk that fails when a test says so: methods of node's file handles, until `restore`. */
import { type FileHandle, open } from 'node:fs/promises'

export interface Fault {
  method: 'write' | 'datasync' | 'sync' | 'truncate' | 'writeFile'
  errno: 'ENOSPC' | 'EIO' | 'EDQUOT'
  /** Calls of the method that still work. Default 0. */
  after?: number
  /** Bytes of a write that arrive before it fails. Default 0. */
  bytes?: number
  /** Calls that fail then. Default: all. */
  times?: number
}

export async function faultyDisk(faults: readonly Fault[]): Promise<{ restore(): void; calls: string[] }> {
  const handle = await open('.', 'r')
  const prototype = Object.getPrototypeOf(handle) as Record<string, (...args: unknown[]) => Promise<unknown>>
  await handle.close()
  const calls: string[] = []
  const originals = new Map<string, (...args: unknown[]) => Promise<unknown>>()
  for (const { method, errno, after = 0, bytes = 0, times = Number.POSITIVE_INFINITY } of faults) {
    const original = prototype[method]!
    if (!originals.has(method)) originals.set(method, original)
    let count = 0
    prototype[method] = async function (this: FileHandle, ...args: unknown[]) {
      if (count++ < after || count > after + times) return original.apply(this, args)
      calls.push(method)
      // As the system does it: what fits is written, and the next call fails.
      if (method === 'write' && bytes > 0 && count === after + 1) {
        const [buffer, offset, length = buffer.length - offset, position] = args as [Buffer, number, number?, number?]
        return original.call(this, buffer, offset, Math.min(bytes, length), position)
      }
      throw Object.assign(new Error(`${errno}: played by the test, ${method}`), { code: errno })
    }
  }
  return { calls, restore: () => void Object.assign(prototype, Object.fromEntries(originals)) }
}
