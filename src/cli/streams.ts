/**
 * What happens when nobody takes the output any more. A reader that went away (`fedlora … | head`) ends the command quietly; a run stops
 * after a checkpoint, as on Ctrl-C, with the exit code of a broken pipe. A stream that cannot be written (a full disk) is a failure.
 */

import { fstatSync } from 'node:fs'

/** 128 + SIGPIPE: what a shell reports for a command whose reader went away. */
const brokenPipe = 141

let stopRun: ((code: number) => void) | undefined
let lost: { code: number; message: string } | undefined

/** Sets what a lost output does instead of ending the process; undefined: it ends the process. */
export function onLostOutput(stop: ((code: number) => void) | undefined): void {
  stopRun = stop
}

/** The exit code of an output that was lost during a run, if any. */
export function lostOutput(): number | undefined {
  return lost?.code
}

function lose(error: NodeJS.ErrnoException): void {
  if (lost !== undefined) return
  const closed = error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED'
  lost = { code: closed ? brokenPipe : 1, message: error.message }
  if (!closed) process.stderr.write(`E_IO: stdout: ${error.message}\n`)
  if (stopRun === undefined) process.exit(closed ? 0 : 1)
  stopRun(lost.code)
}

/** Whether both streams go to the same place, as after `2>&1`. */
function isOnePlace(): boolean {
  try {
    const [out, err] = [fstatSync(1), fstatSync(2)]
    return out.dev === err.dev && out.ino === err.ino
  } catch {
    return false
  }
}

export function guardStreams(): void {
  process.stdout.on('error', lose)
  process.stderr.on('error', (error) => {
    // By itself a lost stderr stops nothing: there is only nowhere left to say so.
    if (isOnePlace()) lose(error)
  })
}
