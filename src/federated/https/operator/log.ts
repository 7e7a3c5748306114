/** What a server writes down: a structured log of what it does (one JSON object a line), and an audit log of who did what. */
import { closeSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { type DestinationStream, type Logger, pino } from 'pino'
import { isFedloraError } from '../../../errors.js'
import type { Answered } from '../server/carrier.js'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** @param to - where lines go; default: the standard error stream. */
export function openLog(
  level: LogLevel,
  run: string,
  to: DestinationStream = pino.destination({ dest: 2, sync: true }),
): Logger {
  return pino(
    {
      level,
      base: { run },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    to,
  )
}

/** Errors by code and words; particulars and stacks of what nobody expected. */
function told(error: unknown): Record<string, unknown> {
  if (isFedloraError(error)) return { code: error.code, message: error.message }
  return { code: 'E_INTERNAL', message: String(error), stack: (error as Error | undefined)?.stack }
}

/** A request: quiet when all is well, a warning for what its sender did, an error for what we did. */
export function logAnswered(log: Logger, { error, seconds, ...request }: Answered): void {
  const line = { ...request, milliseconds: Math.round(1000 * seconds), ...(error === undefined ? {} : told(error)) }
  if (error === undefined) log.debug(line, 'answered')
  else if (request.status >= 500 && request.status !== 503) log.error(line, 'failed')
  else log.warn(line, 'refused')
}

/** Who did what, for ever: FOLDER/audit.ndjson, one JSON object a line, which only its owner reads. */
export class Audit {
  readonly #file: number

  constructor(folder: string) {
    this.#file = openSync(join(folder, 'audit.ndjson'), 'a', 0o600)
  }

  /** @param who - a role, or the name of a client. */
  note(who: string, did: string, about: Record<string, unknown> = {}): void {
    writeSync(this.#file, `${JSON.stringify({ time: new Date().toISOString(), who, did, ...about })}\n`)
  }

  close(): void {
    closeSync(this.#file)
  }
}
