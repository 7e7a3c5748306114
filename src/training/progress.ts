/** Telling how far a long phase of a run is: not in its first second, and then once a second, so that short ones tell nothing. */
import type { PrepareOptions } from '../data/tokens/prepare.js'
import type { ProgressEvent } from './events.js'

const interval = 1000

export function progressOf(
  phase: ProgressEvent['phase'],
  emit: (event: ProgressEvent) => void,
): (done: number, total: number) => void {
  const started = performance.now()
  let last = started
  return (done, total) => {
    const now = performance.now()
    if (now - last < interval) return
    last = now
    emit({ type: 'progress', phase, done, total, remaining: ((now - started) / 1000 / done) * (total - done) })
  }
}

/** Tells of rows that are made ready. */
export function preparing(signal: AbortSignal, emit: (event: ProgressEvent) => void): PrepareOptions {
  return {
    signal,
    onProgress({ phase, done, total, tokens, seconds, remaining }) {
      if (phase !== 'reading') emit({ type: 'progress', phase, done, total: total ?? done, tokens, seconds, remaining })
    },
  }
}
