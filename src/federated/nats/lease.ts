/**
 * Who leads: a key in a bucket of NATS that its holder renews, and that vanishes when it has not been renewed for the time of the lease. It decides who
 * serves, and when one that stands by takes over; what keeps two servers from counting twice is the fence of the journal, not this.
 *
 *   held     renewed within the time of the lease
 *   lapsed   not renewed for so long: NATS is away, or this process was stopped. Nothing is written until it is held again
 *   lost     another server holds it: for good
 */
import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import type { KV } from '@nats-io/kv'
import { z } from 'zod'
import { FedloraError } from '../../errors.js'
import { encode } from '../link/json.js'
import { isRetryable, systemTime } from '../link/retry.js'
import { keyValues, type NatsConnection, natsError } from './connect.js'
import type { Names } from './names.js'

const leaderSchema = z.object({ id: z.string(), host: z.string(), pid: z.int(), since: z.number() })
/** The server that leads: its machine and process, and since when (milliseconds since 1970). */
export type Leader = Omit<z.output<typeof leaderSchema>, 'id'>

export interface LeaseOptions {
  /** Of the lease. */
  seconds: number
  replicas?: number
  /** Told when another server leads, and whenever that is another one; absent: who leads, and shows that it lives, is not waited for. */
  onStandby?: ((leader: Leader) => void) | undefined
  /** Ends the waiting. */
  signal?: AbortSignal | undefined
}

type Holder = z.output<typeof leaderSchema> & { revision: number }

const key = 'leader'
/** JetStream's codes for a message that does not follow the one that its writer knows. */
const wrongSequence: ReadonlySet<unknown> = new Set([10071, 10164])
const isTaken = (error: unknown): boolean =>
  (error as Error).name === 'JetStreamApiError' && wrongSequence.has((error as { code?: unknown }).code)

const where = ({ host, pid }: Leader) => `process ${pid} on ${host}`

export class Lease {
  readonly #connection: NatsConnection
  readonly #bucket: KV
  readonly #milliseconds: number
  readonly #own: z.output<typeof leaderSchema>
  readonly #ended = new AbortController()
  #revision: number
  /** When what was last confirmed was sent, on the clock of this process. */
  #confirmed: number
  #lost: FedloraError | undefined
  #onLost: (error: FedloraError) => void = () => {}
  /** Told at every change. */
  readonly #waiting = new Set<() => void>()

  private constructor(
    connection: NatsConnection,
    bucket: KV,
    milliseconds: number,
    own: z.output<typeof leaderSchema>,
  ) {
    this.#connection = connection
    this.#bucket = bucket
    this.#milliseconds = milliseconds
    this.#own = own
    this.#revision = 0
    this.#confirmed = Number.NEGATIVE_INFINITY
  }

  /**
   * Takes the lease, as soon as nobody else has it.
   * @throws FedloraError `E_LOCKED` when another server has it that is not waited for; `E_CONFIG` where it has another length; `E_UNREACHABLE`; the signal's reason.
   */
  static async take(connection: NatsConnection, names: Names, options: LeaseOptions): Promise<Lease> {
    const { seconds, replicas = 1, onStandby, signal = new AbortController().signal } = options
    const { Kvm } = await keyValues()
    const milliseconds = 1000 * seconds
    let lease: Lease
    try {
      const bucket = await new Kvm(connection).create(names.leader, { history: 1, ttl: milliseconds, replicas })
      const { ttl } = await bucket.status()
      if (ttl !== milliseconds) {
        const message = `nats.lease: got ${seconds} seconds, but the other servers of this federation have ${ttl / 1000}; give all of them the same`
        throw new FedloraError('E_CONFIG', message, { got: seconds, expected: ttl / 1000 })
      }
      const own = { id: randomUUID(), host: hostname(), pid: process.pid, since: Date.now() }
      lease = new Lease(connection, bucket, milliseconds, own)
    } catch (error) {
      throw natsError(error, 'cannot open the bucket of who leads')
    }
    let told: string | undefined
    let seen: number | undefined
    for (;;) {
      const leader = await lease.#takeOrSee().catch((error: unknown) => {
        if (told === undefined || !isRetryable(error)) throw error
      })
      if (leader === 'own') break
      if (leader !== undefined) {
        seen ??= leader.revision
        if (onStandby === undefined && leader.revision !== seen) {
          const message = `${where(leader)} serves this federation; ask there, or stop it`
          throw new FedloraError('E_LOCKED', message, { host: leader.host, pid: leader.pid })
        }
        if (leader.id !== told) onStandby?.({ host: leader.host, pid: leader.pid, since: leader.since })
        told = leader.id
      }
      await systemTime.sleep(Math.min(1000, milliseconds / 4), signal)
    }
    void lease.#renew()
    return lease
  }

  /** Takes it, or says who has it. */
  async #takeOrSee(): Promise<'own' | Holder> {
    for (;;) {
      if (await this.#create()) return 'own'
      const holder = await this.#holder()
      if (holder !== undefined) return holder
    }
  }

  /** Whether it could be had. */
  async #create(): Promise<boolean> {
    const sent = performance.now()
    try {
      this.#confirm(await this.#bucket.create(key, encode(this.#own)), sent)
      return true
    } catch (error) {
      if (isTaken(error)) return false
      throw natsError(error, 'cannot take the lead')
    }
  }

  async #holder(): Promise<Holder | undefined> {
    const entry = await this.#bucket.get(key).catch((error: unknown) => {
      throw natsError(error, 'cannot see who leads')
    })
    if (entry === null || entry.operation !== 'PUT') return undefined
    const parsed = leaderSchema.safeParse(entry.json())
    if (!parsed.success)
      throw new FedloraError('E_PROTOCOL', `the key '${key}' in the bucket of who leads names no server`)
    return { ...parsed.data, revision: entry.revision }
  }

  #confirm(revision: number, sent: number): void {
    this.#revision = revision
    this.#confirmed = sent
    this.#wake()
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake()
  }

  /** Renews it until the end, three times in its length. */
  async #renew(): Promise<void> {
    const { signal } = this.#ended
    while (!signal.aborted && this.#lost === undefined && !this.#connection.isClosed()) {
      try {
        await systemTime.sleep(this.#milliseconds / 3, signal)
        await this.#renewOnce()
      } catch (error) {
        if (!signal.aborted && !isRetryable(error)) this.#lose(error)
      }
    }
    this.#wake()
  }

  async #renewOnce(): Promise<void> {
    const sent = performance.now()
    try {
      this.#confirm(await this.#bucket.update(key, encode(this.#own), this.#revision), sent)
      return
    } catch (error) {
      if (!isTaken(error)) throw natsError(error, 'cannot keep the lead')
    }
    // It ran out, another server has taken it, or the answer to an earlier renewal did not arrive.
    const holder = await this.#holder()
    if (holder === undefined) await this.#create()
    else if (holder.id === this.#own.id) this.#revision = holder.revision
    else this.#lose(undefined, holder)
  }

  #lose(cause: unknown, other?: Leader): void {
    const why = other === undefined ? `it cannot be kept (${String(cause)})` : `${where(other)} has taken over`
    const message = `this server leads the federation no longer: ${why}; it has written nothing since`
    this.#lost = new FedloraError('E_JOURNAL_FENCED', message, other === undefined ? {} : { ...other }, cause)
    this.#wake()
    this.#onLost(this.#lost)
  }

  /** Tells once that it is lost. */
  set onLost(tell: (error: FedloraError) => void) {
    this.#onLost = tell
    if (this.#lost !== undefined) tell(this.#lost)
  }

  /** Resolves while this server leads, or as soon as it does again. @throws FedloraError `E_JOURNAL_FENCED` when another one does. */
  async held(): Promise<void> {
    for (;;) {
      if (this.#lost !== undefined) throw this.#lost
      if (this.#ended.signal.aborted || this.#connection.isClosed())
        throw new FedloraError('E_UNREACHABLE', 'the server of the federation stops')
      if (performance.now() - this.#confirmed < this.#milliseconds) return
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#waiting.delete(wake)
          resolve()
        }
        this.#waiting.add(wake)
      })
    }
  }

  /** Lets another server lead at once. */
  async release(): Promise<void> {
    if (this.#ended.signal.aborted) return
    this.#ended.abort()
    this.#wake()
    if (this.#lost !== undefined) return
    // Where NATS does not answer, it runs out by itself.
    await this.#bucket.delete(key, { previousSeq: this.#revision }).catch(() => {})
  }
}
