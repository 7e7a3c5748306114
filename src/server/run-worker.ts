/** A worker of a federation over NATS: a process that screens and sums answers for the server. It has no folder, no model and no rows. */
import { MemoryBlobs } from '../federated/blobs/memory.js'
import { retrying, systemTime } from '../federated/link/retry.js'
import { NatsBlobs, openBucket } from '../federated/nats/blobs.js'
import { connectNats, type NatsConnection } from '../federated/nats/connect.js'
import { namesOf } from '../federated/nats/names.js'
import { type NatsOptions, natsSchema } from '../federated/nats/options.js'
import { unlessAborted } from '../federated/nats/patient.js'
import { NatsQueue } from '../federated/nats/queue.js'
import { readWorkerTicket } from '../federated/nats/ticket.js'
import { type WorkerEvent, workOff } from '../federated/workers/worker.js'
import { parseOptions } from '../options/parse.js'
import { connect } from './nats.js'

export interface RunWorkerOptions {
  /** The file that `fedlora nats init` wrote for workers, or the section `nats` of the server's file. */
  nats: string | NatsOptions
  /** Ends it, behind the assignment that it is at. */
  signal: AbortSignal
  onEvent?: (event: WorkerEvent) => void
}

/** Where NATS is, and what of it belongs to the federation. */
async function reach(
  nats: RunWorkerOptions['nats'],
): Promise<{ space: string; connect: () => Promise<NatsConnection> }> {
  if (typeof nats !== 'string') {
    const config = parseOptions(natsSchema, nats, 'nats')
    return { space: config.space, connect: () => connect(config) }
  }
  const { url, space, credentials, authority } = await readWorkerTicket(nats)
  const tls = authority === undefined ? undefined : { authority }
  const inbox = namesOf(space).workerInbox
  return { space, connect: () => connectNats({ servers: url, credentials, tls, inbox }) }
}

/**
 * Screens and sums answers of a federation whose server has the section `workers`, until `signal` comes. NATS and the server may be away: it waits for them. It
 * may be killed at any time: another worker, or the server, does what it was at. `runWorker({ nats: 'nats/worker.json', signal })` is `fedlora aggregate`.
 * @throws FedloraError `E_TOKEN`, `E_IO`, `E_CONFIG`, `E_AUTH`, `E_MISSING` without NATS' packages.
 */
export async function runWorker({ nats, signal, onEvent = () => {} }: RunWorkerOptions): Promise<void> {
  const { space, connect: open } = await reach(nats)
  const names = namesOf(space)
  const onRetry = (error: unknown) => {
    const { code, message } = error as Error & { code: string }
    onEvent({ type: 'trouble', code, message })
  }
  const patient = { signal, time: systemTime, random: Math.random, onRetry }
  let connection: NatsConnection | undefined
  try {
    connection = await retrying(() => unlessAborted(open(), signal, (late) => void late.close()), patient)
    const reached = connection
    const bucket = await retrying(() => openBucket(reached, names.blobs, { make: false }), patient)
    const queue = await NatsQueue.open(reached, names)
    await workOff({ queue, blobs: new NatsBlobs(bucket, new MemoryBlobs()), signal, onEvent })
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    await connection?.close()
  }
}
