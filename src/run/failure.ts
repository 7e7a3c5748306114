/** How runs end that do not end well: the event, the abort that is no failure, and what else fails while a run is kept. */
import { type ErrorCode, FedloraError, isFedloraError } from '../errors.js'
import type { RunContext } from './run.js'

/** The run failed: the last line of its log, and what onlookers see of the failure. */
export interface Failure {
  type: 'error'
  code: ErrorCode
  message: string
  details: Readonly<Record<string, unknown>>
}

/** A failure as an event. */
export function failureEvent(error: unknown): Failure {
  const { code, message, details } = isFedloraError(error)
    ? error.toJSON()
    : new FedloraError('E_INTERNAL', error instanceof Error ? error.message : String(error)).toJSON()
  return { type: 'error', code, message, details }
}

/** True when a run ends with `error` because its caller's signal fired: that is no failure. */
export function isAbortOf(context: Pick<RunContext<never>, 'aborted' | 'signal'>, error: unknown): boolean {
  return context.aborted && error === context.signal.reason && !isFedloraError(error)
}

/**
 * Keeps what can be kept of a run that ends with `error`: every one of `works` is tried.
 * @param what - of the run, for the message.
 * @returns what to end with: `error`, unless something could not be kept. Then its message stays the first, and `details.notKept` has the
 * others; an abort, which is no failure, gives way to the first of them.
 */
export async function keepDespite(
  error: unknown,
  what: string,
  works: readonly (() => Promise<unknown>)[],
): Promise<unknown> {
  const failures: unknown[] = []
  for (const work of works) await work().catch((failure: unknown) => failures.push(failure))
  if (failures.length === 0) return error
  const notKept = failures.map((failure) => (failure as Error).message)
  const lost = `${what} could not be kept: ${notKept.join('; ')}`
  if (isFedloraError(error)) {
    return new FedloraError(error.code, `${error.message}; and ${lost}`, { ...error.details, notKept }, error)
  }
  const code = isFedloraError(failures[0]) ? failures[0].code : 'E_IO'
  return new FedloraError(code, lost, { notKept }, error)
}
