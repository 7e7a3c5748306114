/** A door that clients reach through NATS: what each knows is watched, and what it lacks is put where it looks. */
import type { KV } from '@nats-io/kv'
import type { Msg } from '@nats-io/transport-node'
import { FedloraError, isFedloraError } from '../../errors.js'
import type { BlobId, BlobRef } from '../blobs/blob-store.js'
import { decode, encode } from '../link/json.js'
import type { Door, Registry } from '../link/link.js'
import { type Bucket, checkJetStream, openBucket, putObject, readObject } from './blobs.js'
import { answerTo, asCoded, callSchema, knownEntrySchema, type OfferEntry } from './calls.js'
import { keyValues, type NatsConnection, natsError } from './connect.js'
import { clientOf, type Names, tokenOf } from './names.js'

/** Seconds that a blob stays where clients read it; it is put there again when it is asked for. */
const daySeconds = 86_400

export interface NatsServerParts {
  connection: NatsConnection
  names: Names
  door: Door
  registry: Registry
  /** Bytes that one client's bucket may hold. */
  quota?: number
  /** Servers of the cluster that keep each bucket. */
  replicas?: number
  /** Told of what goes wrong beside a call. */
  onError?: (error: FedloraError) => void
}

/** The client's part of a subject or key. */
const lastToken = (subject: string): string => subject.slice(subject.lastIndexOf('.') + 1)

export class NatsServer {
  readonly #parts: NatsServerParts
  readonly #offers: KV
  readonly #down: Bucket
  /** By client: ends the wait for what it lacks. */
  readonly #waits = new Map<string, AbortController>()
  readonly #putting = new Map<BlobId, Promise<void>>()
  readonly #stop = new AbortController()
  readonly #tasks = new Set<Promise<void>>()

  private constructor(parts: NatsServerParts, offers: KV, down: Bucket) {
    this.#parts = parts
    this.#offers = offers
    this.#down = down
  }

  /** Opens the buckets, tells the description, and answers from then on. @throws FedloraError `E_UNSUPPORTED`, `E_UNREACHABLE`, `E_AUTH`. */
  static async open(parts: NatsServerParts): Promise<NatsServer> {
    const { connection, names, door, replicas = 1 } = parts
    await checkJetStream(connection)
    const { Kvm } = await keyValues()
    try {
      const offers = await new Kvm(connection).create(names.offers, { history: 1, allow_direct: true, replicas })
      const down = await openBucket(connection, names.down, { ttl: daySeconds, replicas })
      await offers.put(names.description, encode(await door.describe()))
      const server = new NatsServer(parts, offers, down)
      const asks = connection.subscribe(names.asks, {
        callback: (error, message) => {
          if (error !== null) server.#tell(error)
          else server.#run(server.#answer(message))
        },
      })
      server.#stop.signal.addEventListener('abort', () => asks.unsubscribe())
      const watch = await offers.watch({ key: names.known('*') })
      server.#stop.signal.addEventListener('abort', () => watch.stop())
      server.#run(
        (async () => {
          for await (const { key, value } of watch) {
            if (server.#stop.signal.aborted) break
            const token = lastToken(key)
            if (!server.#waits.has(clientOf(token))) connection.publish(names.began(token))
            server.#learn(clientOf(token), value)
          }
        })(),
      )
      return server
    } catch (error) {
      throw natsError(error, 'cannot serve through NATS')
    }
  }

  #tell(error: unknown): void {
    this.#parts.onError?.(asCoded(natsError(error, 'serving through NATS')))
  }

  /** As a client is told of it. What nobody foresaw says there that the log says why: the log hears of it. */
  #coded(error: unknown): FedloraError {
    if (!isFedloraError(error)) this.#tell(error)
    return asCoded(error)
  }

  #run(task: Promise<void>): void {
    const told = task.catch((error: unknown) => this.#tell(error)).finally(() => this.#tasks.delete(told))
    this.#tasks.add(told)
  }

  /** A client has said what it knows: what it lacks is told as soon as there is something. */
  #learn(client: string, value: Uint8Array): void {
    this.#waits.get(client)?.abort()
    const wait = new AbortController()
    this.#waits.set(client, wait)
    this.#run(this.#offer(client, value, wait.signal))
  }

  async #offer(client: string, value: Uint8Array, signal: AbortSignal): Promise<void> {
    const { door, names } = this.#parts
    const { nonce, known } = decode(knownEntrySchema, value, `what client ${client} knows`)
    let entry: OfferEntry
    try {
      const notice = await door.next(client, known, signal)
      if (notice === undefined) return
      entry = { nonce, notice }
    } catch (error) {
      if (signal.aborted) return
      entry = { nonce, error: this.#coded(error).toJSON() as never }
    }
    if (!signal.aborted) await this.#offers.put(names.offer(tokenOf(client)), encode(entry))
  }

  async #answer(message: Msg): Promise<void> {
    const client = clientOf(lastToken(message.subject))
    const answer = await answerTo(
      async () => {
        const call = decode(callSchema, message.data, `a call of client ${client}`)
        const { door } = this.#parts
        switch (call.call) {
          case 'enroll':
            return await this.#enroll(client, call.key)
          case 'say':
            return await door.say(client, call.word)
          case 'fetch':
            return await this.#put(client, call.blob)
          case 'take':
            return await this.#take(client, call.ref)
        }
      },
      (error) => this.#coded(error),
    )
    message.respond(answer)
  }

  /** The user's rights name the client; the key is bound to that name. Its bucket is made, which only the server may do. */
  async #enroll(client: string, key: string): Promise<void> {
    const { registry, connection, names, quota = 2 ** 30, replicas = 1 } = this.#parts
    await registry.admit(client, key)
    await openBucket(connection, names.up(tokenOf(client)), { most: quota, replicas })
  }

  async #put(client: string, blob: BlobId): Promise<void> {
    const { bytes, chunks } = await this.#parts.door.read(client, blob, 0)
    const there = await this.#down.info(blob)
    if (there !== null && !there.deleted) return
    let putting = this.#putting.get(blob)
    if (putting === undefined) {
      putting = putObject(this.#down, { blob, bytes }, chunks).then(() => {})
      this.#putting.set(blob, putting)
      putting.finally(() => this.#putting.delete(blob)).catch(() => {}) // who waits for it hears of it
    }
    await putting
  }

  async #take(client: string, ref: BlobRef): Promise<void> {
    const { door, connection, names } = this.#parts
    const bucket = await openBucket(connection, names.up(tokenOf(client)), { make: false })
    const from = await door.offset(client, ref.blob)
    const arrived = from === ref.bytes ? from : await door.write(client, ref, from, readObject(bucket, ref.blob, from))
    if (arrived === ref.bytes) await bucket.delete(ref.blob)
    else throw new FedloraError('E_UPLOAD_OFFSET', `blob ${ref.blob} stands at byte ${arrived}`, { offset: arrived })
  }

  /** Answers nobody any more, once what is under way has ended. */
  async close(): Promise<void> {
    this.#stop.abort()
    for (const wait of this.#waits.values()) wait.abort()
    await Promise.allSettled([...this.#tasks])
  }
}
