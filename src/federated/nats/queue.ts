/**
 * Work for aggregators as a stream of JetStream, from which a message goes when it has been dealt with. What waits for a worker and what waits for the server
 * are two subjects of it, each with one consumer; workers share theirs, so that each message is given to one of them. One that was given out and not confirmed
 * in time is given out again.
 */
import type { Consumer, JetStreamClient, JetStreamManager, JsMsg } from '@nats-io/jetstream'
import { FedloraError, isFedloraError } from '../../errors.js'
import { type BlobId, blobIdSchema } from '../blobs/blob-store.js'
import { decode, encode } from '../link/json.js'
import { isRetryable, systemTime } from '../link/retry.js'
import { type Done, doneSchema } from '../workers/assignment.js'
import type { Taken, WorkQueue } from '../workers/work-queue.js'
import { jetstreams, type NatsConnection, natsError } from './connect.js'
import { type Names, serverConsumer, workersConsumer } from './names.js'
import { unlessAborted } from './patient.js'

/** Nanoseconds. */
const second = 1e9
/** Seconds that work which nobody took stays: its round has ended long before. */
const daySeconds = 86_400
/** Milliseconds that one request waits for a message. */
const listening = 25_000

/** JetStream's codes for a stream, or a consumer, that is not there. */
const missing: ReadonlySet<unknown> = new Set([10014, 10059])

export interface NatsQueueOptions {
  /** Of the server: makes what is missing, for workers that are patient for so many seconds. Absent: it must be there. */
  silence?: number | undefined
  replicas?: number | undefined
  /** Milliseconds after which what was given back, or not heard, comes again. Default 1000. */
  pause?: number | undefined
}

export class NatsQueue implements WorkQueue {
  readonly #streams: JetStreamClient
  readonly #names: Names
  readonly #pause: number
  readonly #ended = new AbortController()
  #work: Consumer | undefined

  private constructor(streams: JetStreamClient, names: Names, pause: number) {
    this.#streams = streams
    this.#names = names
    this.#pause = pause
  }

  /** @throws FedloraError `E_UNREACHABLE`, `E_AUTH`, `E_CONFIG`. */
  static async open(connection: NatsConnection, names: Names, options: NatsQueueOptions = {}): Promise<NatsQueue> {
    const { silence, replicas = 1, pause = 1000 } = options
    const { jetstream, jetstreamManager } = await jetstreams()
    try {
      if (silence !== undefined) await make(await jetstreamManager(connection), names, { silence, replicas })
      return new NatsQueue(jetstream(connection), names, pause)
    } catch (error) {
      throw natsError(error, 'cannot open the queue of work')
    }
  }

  async #tried<T>(asked: Promise<T>, what: string): Promise<T> {
    return await asked.catch((error: unknown) => {
      throw natsError(error, what)
    })
  }

  async put(id: BlobId): Promise<void> {
    // NATS knows for two minutes that it has it.
    await this.#tried(this.#streams.publish(this.#names.work, encode(id), { msgID: id }), 'putting work')
  }

  /** @throws FedloraError `E_UNREACHABLE` also where no server has made it. */
  async #consumer(name: string): Promise<Consumer> {
    const { sums } = this.#names
    return await this.#streams.consumers.get(sums, name).catch((error: unknown) => {
      if (!missing.has((error as { code?: unknown }).code)) throw natsError(error, 'looking for work')
      const message = 'there is no work in NATS: the server of this federation has not begun, or has no section workers'
      throw new FedloraError('E_UNREACHABLE', message, { stream: sums }, error)
    })
  }

  async #next(consumer: Consumer, signal: AbortSignal): Promise<JsMsg | undefined> {
    while (!signal.aborted) {
      const asked = this.#tried(consumer.next({ expires: listening }), 'waiting for work')
      const message = await unlessAborted(asked, signal, (late) => late?.nak()).catch((error: unknown) => {
        if (!signal.aborted) throw error
      })
      if (message) return message
    }
    return undefined
  }

  async take(signal: AbortSignal): Promise<Taken | undefined> {
    this.#work ??= await this.#consumer(workersConsumer)
    const message = await this.#next(this.#work, signal)
    return message && this.#taken(message)
  }

  #taken(message: JsMsg): Taken {
    const id = decode(blobIdSchema, message.data, 'the id of work')
    return {
      id,
      working: async () => message.working(),
      done: async (result) => {
        const { done } = this.#names
        await this.#tried(this.#streams.publish(done, encode(result)), 'handing back')
        await this.#tried(message.ackAck(), 'confirming work')
      },
      again: async () => message.nak(this.#pause),
      drop: async () => message.ack(),
    }
  }

  results(hear: (done: Done) => Promise<void>): () => Promise<void> {
    const stop = new AbortController()
    const signal = AbortSignal.any([stop.signal, this.#ended.signal])
    const hearing = this.#hear(hear, signal)
    return async () => {
      stop.abort()
      await hearing
    }
  }

  async #hear(hear: (done: Done) => Promise<void>, signal: AbortSignal): Promise<void> {
    let consumer: Consumer | undefined
    while (!signal.aborted) {
      try {
        consumer ??= await this.#consumer(serverConsumer)
        const message = await this.#next(consumer, signal)
        if (message !== undefined) await this.#tell(message, hear)
      } catch (error) {
        if (!isRetryable(error)) consumer = undefined
        await systemTime.sleep(this.#pause, signal).catch(() => {})
      }
    }
  }

  /** What is no result is of no use to anybody. */
  async #tell(message: JsMsg, hear: (done: Done) => Promise<void>): Promise<void> {
    try {
      await hear(decode(doneSchema, message.data, 'a result of a worker'))
      await message.ackAck()
    } catch (error) {
      if (isFedloraError(error, 'E_PROTOCOL')) message.term()
      else message.nak(this.#pause)
    }
  }

  /** The connection is its owner's. */
  async close(): Promise<void> {
    this.#ended.abort()
  }
}

async function make(
  manager: JetStreamManager,
  { sums, work, done }: Names,
  { silence, replicas }: { silence: number; replicas: number },
): Promise<void> {
  const { AckPolicy, RetentionPolicy, StorageType } = await jetstreams()
  await manager.streams.add({
    name: sums,
    subjects: [work, done],
    storage: StorageType.File,
    retention: RetentionPolicy.Workqueue,
    num_replicas: replicas,
    max_age: daySeconds * second,
  })
  for (const [name, subject] of [
    [workersConsumer, work],
    [serverConsumer, done],
  ] as const) {
    const settings = { filter_subject: subject, ack_wait: silence * second, max_deliver: -1 }
    // A server may be told of another patience than the one before it.
    await manager.consumers
      .add(sums, { durable_name: name, ack_policy: AckPolicy.Explicit, ...settings })
      .catch(() => manager.consumers.update(sums, name, settings))
  }
}
