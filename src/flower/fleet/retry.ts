/** Tries again what may pass: full jitter (Brooker 2015, "Exponential Backoff and Jitter") until it succeeds or is stopped. */
import { setTimeout as sleep } from 'node:timers/promises'
import { FedloraError } from '../../errors.js'

/** Seconds: the bound of the first wait, which doubles with every try, and of all. */
export interface BackOff {
  shortest: number
  longest: number
}

/** Answers of 500 in a row, after which a request about one message is given up: it may be what the server cannot bear. */
export const mostFailures = 6

export interface Waiting {
  /** Seconds until the next try. */
  seconds: number
  error: FedloraError
}

/** Seconds before the next try, evenly up to the bound. */
export function backOff(tries: number, { shortest, longest }: BackOff, random: number = Math.random()): number {
  return random * Math.min(longest, shortest * 2 ** Math.min(tries, 30))
}

/** Waits. @throws the signal's reason. */
export async function pause(seconds: number, signal: AbortSignal): Promise<void> {
  await sleep(seconds * 1000, undefined, { signal }).catch(() => signal.throwIfAborted())
}

/**
 * The result of `call`, which is tried until it fails for good.
 * @param most - of answers of 500.
 * @throws what `call` throws without `details.retry`; the signal's reason.
 */
export async function persist<R>(
  call: () => Promise<R>,
  { signal, most, ...bounds }: BackOff & { signal: AbortSignal; most: number },
  onWait: (waiting: Waiting) => void,
): Promise<R> {
  for (let tries = 0; ; tries++) {
    try {
      return await call()
    } catch (error) {
      if (!(error instanceof FedloraError) || error.details.retry !== true) throw error
      if (error.details.status === 500 && tries + 1 >= most) throw error
      const seconds = backOff(tries, bounds)
      onWait({ seconds, error })
      await pause(seconds, signal)
    }
  }
}
