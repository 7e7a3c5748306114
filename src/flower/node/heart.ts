/** Heartbeats beside everything else that a node does: a server takes a silent node for gone, and its reply with it. */
import { pause } from '../fleet/retry.js'

export interface Heart {
  /** Ends the beats. */
  stop(): Promise<void>
}

/**
 * Beats until it is stopped.
 * @param every - seconds; what `beat` throws ends the beats and is given to `onFail`.
 */
export function startHeart(
  beat: () => Promise<void>,
  every: () => number,
  signal: AbortSignal,
  onFail: (error: unknown) => void,
): Heart {
  const stop = new AbortController()
  const either = AbortSignal.any([signal, stop.signal])
  const beats = (async () => {
    try {
      for (;;) {
        await pause(every(), either)
        await beat()
      }
    } catch (error) {
      if (!either.aborted) onFail(error)
    }
  })()
  return {
    async stop() {
      stop.abort()
      await beats
    },
  }
}
