/** Tries again what may pass: full jitter (Brooker 2015, "Exponential Backoff and Jitter"), at most 20 s apart, until it succeeds or is stopped. */
import { setTimeout as sleep } from 'node:timers/promises'
import { FedloraError } from '../../errors.js'

const shortest = 0.5
const longest = 20

export interface Waiting {
  /** Seconds until the next try. */
  seconds: number
  error: FedloraError
}

/** Seconds before try `tries` + 1. */
export function backOff(tries: number, random: () => number = Math.random): number {
  return random() * Math.min(longest, shortest * 2 ** Math.min(tries, 10))
}

/** Waits. @throws the signal's reason. */
export async function pause(seconds: number, signal: AbortSignal): Promise<void> {
  await sleep(seconds * 1000, undefined, { signal }).catch(() => signal.throwIfAborted())
}

/**
 * The result of `call`, which is tried until it fails for good.
 * @throws what `call` throws without `details.retry`; the signal's reason.
 */
export async function persist<R>(
  call: () => Promise<R>,
  signal: AbortSignal,
  onWait: (waiting: Waiting) => void,
  random?: () => number,
): Promise<R> {
  for (let tries = 0; ; tries++) {
    try {
      return await call()
    } catch (error) {
      if (!(error instanceof FedloraError) || error.details.retry !== true) throw error
      const seconds = backOff(tries, random)
      onWait({ seconds, error })
      await pause(seconds, signal)
    }
  }
}
