/** A federation in a process of its own that is killed again and again, and goes on each time. */
import { spawn } from 'node:child_process'
import { resolve } from 'node:path'

/**
 * Runs `program` with `folder` until it ends by itself; gives how often it was killed.
 * @param limits - lines after which each child is killed, one after the other.
 */
export async function killedAfter(program: string, folder: string, limits: readonly number[]): Promise<number> {
  for (let kills = 0; kills <= limits.length; kills++) {
    const limit = limits[kills] ?? Number.POSITIVE_INFINITY
    const child = spawn(process.execPath, [...process.execArgv, resolve(program), folder], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: process.env,
    })
    let lines = 0
    child.stdout.on('data', (chunk: Buffer) => {
      lines += chunk.toString().split('\n').length - 1
      if (lines >= limit) child.kill('SIGKILL')
    })
    const { code, signal } = await new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((end) =>
      child.on('exit', (code, signal) => end({ code, signal })),
    )
    if (code === 0) return kills
    if (signal !== 'SIGKILL') throw new Error(`it ended with ${signal ?? code}`)
  }
  throw new Error('the run never ends')
}
