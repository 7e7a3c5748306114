/** A server's part in NATS: who leads, where journal and blobs lie, and the way of its clients. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { FedloraError } from '../errors.js'
import type { BlobStore } from '../federated/blobs/blob-store.js'
import { openDirectoryBlobs } from '../federated/blobs/directory.js'
import type { WorkersConfig } from '../federated/coordinator/options.js'
import type { Record as Entry } from '../federated/coordinator/records.js'
import type { Journal } from '../federated/journal/journal.js'
import type { Door, Registry } from '../federated/link/link.js'
import { NatsBlobs, openBucket } from '../federated/nats/blobs.js'
import { connectNats, type NatsConnection } from '../federated/nats/connect.js'
import { checkDurable } from '../federated/nats/durability.js'
import { NatsJournal } from '../federated/nats/journal.js'
import { type Leader, Lease } from '../federated/nats/lease.js'
import { type Names, namesOf, tokenOf } from '../federated/nats/names.js'
import type { NatsConfig } from '../federated/nats/options.js'
import { NatsQueue } from '../federated/nats/queue.js'
import { NatsServer } from '../federated/nats/serve.js'
import type { WorkQueue } from '../federated/workers/work-queue.js'
import { ioError } from '../files/atomic.js'

/** What a server does while another one leads. */
export interface Standby {
  /** Told who leads, whenever that is another one. */
  onStandby?: ((leader: Leader) => void) | undefined
  /** Ends the waiting. */
  signal?: AbortSignal | undefined
}

/** @throws FedloraError `E_IO`. */
export const textOf = async (path: string | undefined): Promise<string | undefined> =>
  path === undefined
    ? undefined
    : await readFile(path, 'utf8').catch((error: unknown) => {
        throw ioError(error, `cannot read '${path}'`)
      })

export async function connect({ url, credentials, tls, monitor }: NatsConfig): Promise<NatsConnection> {
  if (monitor !== undefined) await checkDurable(monitor)
  const [authority, certificate, key] = await Promise.all([tls?.authority, tls?.certificate, tls?.key].map(textOf))
  return await connectNats({
    servers: url,
    credentials: await textOf(credentials),
    tls: tls && { authority, certificate, key },
  })
}

export class NatsSide {
  readonly journal: Journal<Entry>
  readonly blobs: BlobStore
  /** Where workers find work; undefined: there are none. */
  readonly queue: WorkQueue | undefined
  readonly lease: Lease
  readonly #config: NatsConfig
  readonly #connection: NatsConnection
  readonly #names: Names
  #carrier: NatsServer | undefined

  private constructor(
    parts: { config: NatsConfig; connection: NatsConnection; names: Names; queue: WorkQueue | undefined },
    lease: Lease,
    journal: Journal<Entry>,
    blobs: BlobStore,
  ) {
    this.#config = parts.config
    this.#connection = parts.connection
    this.#names = parts.names
    this.lease = lease
    this.journal = journal
    this.blobs = blobs
    this.queue = parts.queue
  }

  /**
   * Leads the federation, and opens what it keeps.
   * @param workers - of the federation; undefined: it has none.
   * @param standby - absent: while another server leads, nobody waits.
   * @throws FedloraError `E_LOCKED` while another process has the folder, or another server leads; `E_UNREACHABLE`, `E_AUTH`, `E_CONFIG`, `E_MISSING`.
   */
  static async open(config: NatsConfig, folder: string, workers?: WorkersConfig, standby?: Standby): Promise<NatsSide> {
    const staging = await openDirectoryBlobs(join(folder, 'blobs'))
    let connection: NatsConnection | undefined
    let lease: Lease | undefined
    try {
      connection = await connect(config)
      const names = namesOf(config.space)
      const { replicas } = config
      const onStandby = standby && (standby.onStandby ?? (() => {}))
      lease = await Lease.take(connection, names, {
        seconds: config.lease,
        replicas,
        onStandby,
        signal: standby?.signal,
      })
      const leads = lease
      const mayWrite = () => leads.held()
      const journal = await NatsJournal.open<Entry>(connection, names, { replicas, claim: true, mayWrite })
      const blobs = new NatsBlobs(await openBucket(connection, names.blobs, { replicas }), staging, mayWrite)
      const queue = workers && (await NatsQueue.open(connection, names, { silence: workers.silence, replicas }))
      return new NatsSide({ config, connection, names, queue }, lease, journal, blobs)
    } catch (error) {
      await lease?.release()
      await connection?.close()
      await staging.close()
      throw error
    }
  }

  /** Clients are answered from now on. @param onError - told of what goes wrong beside an answer. */
  async serve(federation: Door & Registry, onError: (error: FedloraError) => void): Promise<void> {
    const { quota, replicas } = this.#config
    const parts = { connection: this.#connection, names: this.#names, door: federation, registry: federation }
    this.#carrier = await NatsServer.open({ ...parts, quota, replicas, onError })
  }

  /** Answers nobody any more. */
  async rest(): Promise<void> {
    await this.#carrier?.close()
  }

  /** Journal and blobs are closed already. Another server may lead. */
  async close(): Promise<void> {
    await this.lease.release()
    await this.#connection.close()
  }
}

/** What a client that is invited joins with: the file that `fedlora nats init` wrote for it. */
export const ticketOf = (name: string): string => `${tokenOf(name)}.json`
