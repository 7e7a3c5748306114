/**
 * Calls that are made again until they get through: what a client asks of a server that restarts, or lies behind a network that fails.
 *
 *   wait = random · min(longest, first · 2^attempt)      "full jitter": many clients that lost a server together do not come back together
 *
 * Source: Brooker 2015, "Exponential backoff and jitter".
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type ErrorCode, isFedloraError } from '../../errors.js'

/** Time as a value: tests bring their own. */
export interface Time {
  /** Milliseconds since 1970. */
  now(): number
  /** Resolves after so many milliseconds. @throws the signal's reason, at once. */
  sleep(milliseconds: number, signal: AbortSignal): Promise<void>
}

export const systemTime: Time = {
  now: () => Date.now(),
  sleep: async (milliseconds, signal) => {
    await sleep(milliseconds, undefined, { signal }).catch((error: unknown) => {
      signal.throwIfAborted()
      throw error
    })
  },
}

/** Codes of what may be otherwise the next time, with the same arguments. */
const passing: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'E_UNREACHABLE',
  'E_RATE',
  'E_UPLOAD_OFFSET',
  'E_UPLOAD_BUSY',
  // Bytes that were damaged on their way, or a disk that somebody will make room on.
  'E_HASH',
  'E_DISK_FULL',
])

/** Whether the same call may succeed later: the other side could not be reached, or asks to be left alone for a while. */
export const isRetryable = (error: unknown): boolean => isFedloraError(error) && passing.has(error.code)

export interface Retrying {
  signal: AbortSignal
  time: Time
  /** Uniform in [0, 1). */
  random(): number
  /** Told before each wait. */
  onRetry?: (error: unknown, milliseconds: number) => void
}

const first = 1000
const longest = 60_000

/** Seconds that the other side asks to be left alone (`details.retryAfter`); 0: it does not say. */
function askedFor(error: unknown): number {
  const seconds = isFedloraError(error) ? error.details.retryAfter : undefined
  return typeof seconds === 'number' && seconds > 0 && Number.isFinite(seconds) ? seconds : 0
}

/**
 * Calls until the call succeeds, or fails with what no repeating mends.
 * @throws what `isRetryable` denies; the signal's reason.
 */
export async function retrying<R>(call: () => Promise<R>, { signal, time, random, onRetry }: Retrying): Promise<R> {
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted()
    try {
      return await call()
    } catch (error) {
      signal.throwIfAborted()
      if (!isRetryable(error)) throw error
      const jitter = random() * Math.min(longest, first * 2 ** attempt)
      const wait = Math.min(1000 * askedFor(error), 10 * longest) + jitter
      onRetry?.(error, wait)
      await time.sleep(wait, signal)
    }
  }
}
