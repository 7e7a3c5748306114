/**
 * SIGINT and SIGTERM. While a command holds work that can be gone on with, they ask it to stop after a checkpoint (exit codes 130 and
 * 143), and a second one ends the process at once, as if it had never been handled. At any other moment the first one does.
 */

export const signalExitCodes = { SIGINT: 130, SIGTERM: 143 } as const
export type StopSignal = keyof typeof signalExitCodes

export interface SignalWatch {
  readonly signal: AbortSignal
  /** Which signal asked to stop, if any. */
  readonly received: StopSignal | undefined
  /** True while work is under way that a signal stops gently. */
  holding: boolean
  /** Stops as a signal does, for a reason of its own. */
  stop(): void
  dispose(): void
}

export interface SignalHandlers {
  /** The work is stopping: tell the person at the keyboard. */
  onStop(name: StopSignal): void
  /** Nothing is held: end the process now. */
  onEnd(name: StopSignal): void
}

export function watchSignals(
  { onStop, onEnd }: SignalHandlers,
  names: readonly StopSignal[] = ['SIGINT', 'SIGTERM'],
): SignalWatch {
  const controller = new AbortController()
  let received: StopSignal | undefined
  const handlers = new Map<StopSignal, () => void>()
  const watch: SignalWatch = {
    signal: controller.signal,
    get received() {
      return received
    },
    holding: false,
    stop: () => controller.abort(),
    dispose() {
      for (const [name, handler] of handlers) process.off(name, handler)
    },
  }
  for (const name of names) {
    const handler = () => {
      if (received !== undefined) {
        watch.dispose()
        process.kill(process.pid, name)
        return
      }
      received = name
      if (!watch.holding) return onEnd(name)
      onStop(name)
      controller.abort()
    }
    handlers.set(name, handler)
    process.on(name, handler)
  }
  return watch
}
