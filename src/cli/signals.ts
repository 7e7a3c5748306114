/**
 * SIGINT and SIGTERM ask the command to stop after a checkpoint (exit codes 130 and 143); a second one ends the process at
 * once, as if it had never been handled.
 */

export const signalExitCodes = { SIGINT: 130, SIGTERM: 143 } as const
type StopSignal = keyof typeof signalExitCodes

export interface SignalWatch {
  readonly signal: AbortSignal
  /** Which signal asked to stop, if any. */
  readonly received: StopSignal | undefined
  dispose(): void
}

/** Starts watching; `onFirst` may tell the person at the keyboard. */
export function watchSignals(
  onFirst: (name: StopSignal) => void,
  names: readonly StopSignal[] = ['SIGINT', 'SIGTERM'],
): SignalWatch {
  const controller = new AbortController()
  let received: StopSignal | undefined
  const handlers = new Map<StopSignal, () => void>()
  const dispose = () => {
    for (const [name, handler] of handlers) process.off(name, handler)
  }
  for (const name of names) {
    const handler = () => {
      if (received !== undefined) {
        dispose()
        process.kill(process.pid, name)
        return
      }
      received = name
      onFirst(name)
      controller.abort()
    }
    handlers.set(name, handler)
    process.on(name, handler)
  }
  return {
    signal: controller.signal,
    get received() {
      return received
    },
    dispose,
  }
}
