/** Model and adapter of a run: one is shared, the other its alone, and who disposes either ends the run. */
import { FedloraError } from '../errors.js'
import type { Adapter } from '../model/adapter.js'
import type { NativeAdapter, NativeModel } from '../native/binding.js'

export interface Held {
  model: NativeModel
  values: NativeAdapter
  /** Fires with the caller's, and with `E_DISPOSED` when model or adapter is disposed. */
  readonly signal: AbortSignal
  readonly disposed: boolean
}

/**
 * Runs `work` while it holds an adapter and its model.
 * @param doing - for messages.
 * @throws FedloraError `E_DISPOSED`, `E_BUSY`; what `work` throws.
 */
export async function holding<R>(
  doing: string,
  adapter: Adapter,
  signal: AbortSignal,
  work: (held: Held) => Promise<R>,
): Promise<R> {
  return await adapter.model.handle.share(doing, async (model) => {
    const { native: values, release } = adapter.handle.acquire(doing)
    const stop = new AbortController()
    let disposed = false
    const onDispose = () => {
      disposed = true
      stop.abort(new FedloraError('E_DISPOSED', `${doing}: the adapter or its model was disposed during the run`))
    }
    const onAbort = () => stop.abort(signal.reason)
    const unwatch = [adapter.handle.watch(onDispose), adapter.model.handle.watch(onDispose)]
    signal.addEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
    try {
      return await work({
        model,
        values,
        signal: stop.signal,
        get disposed() {
          return disposed
        },
      })
    } finally {
      for (const off of unwatch) off()
      signal.removeEventListener('abort', onAbort)
      release()
    }
  })
}
