/** Whether a NATS server writes to disk before it acknowledges: without that a crash may lose what a client was told is kept. */
import { z } from 'zod'
import { FedloraError } from '../../errors.js'

const report = z.object({
  config: z.object({ sync_interval: z.number().optional(), sync_always: z.boolean().optional() }),
})

const cure = 'set `jetstream { sync_interval: always }`, as `fedlora nats init` does'

/**
 * @param monitor - the server's monitoring page, such as `http://127.0.0.1:8222`.
 * @throws FedloraError `E_CONFIG` when it acknowledges first; `E_UNREACHABLE` when the page does not say.
 */
export async function checkDurable(monitor: string, signal?: AbortSignal): Promise<void> {
  let told: z.output<typeof report>
  try {
    const answer = await fetch(new URL('/jsz?config=1', monitor), signal ? { signal } : {})
    told = report.parse(await answer.json())
  } catch (error) {
    if (signal?.aborted) throw signal.reason
    const message = `the monitoring page of NATS (${monitor}) does not say how it writes to disk; give its address, nats.monitor`
    throw new FedloraError('E_UNREACHABLE', message, { monitor }, error)
  }
  if (told.config.sync_always === true) return
  const message = `NATS at ${monitor} acknowledges before it writes to disk: a crash would lose what clients were told is kept; ${cure}`
  throw new FedloraError('E_CONFIG', message, { monitor })
}
