/**
 * The journal as a stream of JetStream. A message is what one call appended (or several that waited together): it is there whole or not at
 * all. The stream refuses a message that does not follow the last one that its writer knows, so that a server which has been replaced can
 * append nothing; it cannot be shortened by anybody who has no rights over streams. A writer that takes over puts a message without records
 * first: from then on the one before it is fenced off, also with what it had sent and NATS had not received yet.
 */
import { randomUUID } from 'node:crypto'
import type { JetStreamClient, JetStreamManager } from '@nats-io/jetstream'
import { FedloraError, isFedloraError } from '../../errors.js'
import { recordsText } from '../journal/frame.js'
import type { Journal, JournalEntry } from '../journal/journal.js'
import { jetstreams, type NatsConnection, natsError } from './connect.js'
import type { Names } from './names.js'

/** JetStream's code for a message that does not follow the last one. */
const wrongLastSequence = 10071
/** Bytes of a message, below the server's usual limit of 1 MiB. */
const mostBytes = 1_000_000

/** What a message of the stream holds. */
interface Message<R> {
  writer: string
  records: R[]
}

export interface NatsJournalOptions {
  /** Servers of the cluster that keep the stream. */
  replicas?: number
  /** Whether this writer takes over. */
  claim?: boolean
  /** Resolves when this writer may write. @throws FedloraError `E_JOURNAL_FENCED` when it may no longer. */
  mayWrite?: () => Promise<void>
}

interface Waiting {
  /** Their canonical JSON, joined with commas, as they were when they were given. */
  text: string
  count: number
  after: number
  done(sequence: number): void
  failed(error: unknown): void
}

export class NatsJournal<R> implements Journal<R> {
  readonly #streams: JetStreamClient
  readonly #manager: JetStreamManager
  readonly #names: Names
  readonly #connection: NatsConnection
  /** Tells this writer's messages from those of another that say the same. */
  readonly #writer = randomUUID()
  /** Of the stream's last message, and of the last record in it. */
  #message = 0
  #sequence = 0
  #waiting: Waiting[] = []
  #writing = false
  #closed = false
  #fenced: FedloraError | undefined

  readonly #mayWrite: () => Promise<void>

  private constructor(
    connection: NatsConnection,
    streams: JetStreamClient,
    manager: JetStreamManager,
    names: Names,
    mayWrite = async () => {},
  ) {
    this.#connection = connection
    this.#mayWrite = mayWrite
    this.#streams = streams
    this.#manager = manager
    this.#names = names
  }

  /** Makes the stream where it is missing. @throws FedloraError `E_UNREACHABLE`, `E_AUTH`. */
  static async open<R>(
    connection: NatsConnection,
    names: Names,
    { replicas = 1, claim = false, mayWrite }: NatsJournalOptions = {},
  ): Promise<NatsJournal<R>> {
    const { jetstream, jetstreamManager, RetentionPolicy, StorageType } = await jetstreams()
    try {
      const manager = await jetstreamManager(connection)
      await manager.streams.add({
        name: names.journal,
        subjects: [names.journalSubject],
        storage: StorageType.File,
        retention: RetentionPolicy.Limits,
        num_replicas: replicas,
        deny_delete: true,
        deny_purge: true,
        allow_direct: true,
      })
      const journal = new NatsJournal<R>(connection, jetstream(connection), manager, names, mayWrite)
      if (claim) await journal.#claim()
      return journal
    } catch (error) {
      throw natsError(error, `cannot open the journal '${names.journal}'`)
    }
  }

  /** Fences off the writer before this one. */
  async #claim(): Promise<void> {
    for (;;) {
      const { state } = await this.#manager.streams.info(this.#names.journal)
      this.#message = state.last_seq
      try {
        this.#message = await this.#publish(this.#bodyOf([]))
        return
      } catch (error) {
        if (!isFedloraError(error, 'E_JOURNAL_FENCED')) throw error
        await this.#mayWrite()
        this.#fenced = undefined // the writer before was quicker
      }
    }
  }

  #bodyOf(records: readonly string[]): string {
    return `{"writer":${JSON.stringify(this.#writer)},"records":[${records.join(',')}]}`
  }

  async *read(): AsyncGenerator<JournalEntry<R>> {
    const { state } = await this.#tried(this.#manager.streams.info(this.#names.journal))
    let sequence = 0
    for (let message = 1; message <= state.last_seq; message++) {
      for (const record of await this.#recordsOf(message)) yield { sequence: ++sequence, record }
    }
    this.#message = state.last_seq
    this.#sequence = sequence
  }

  async #recordsOf(message: number): Promise<R[]> {
    const stored = await this.#tried(this.#manager.streams.getMessage(this.#names.journal, { seq: message }))
    try {
      return stored!.json<Message<R>>().records
    } catch (error) {
      const what = `the journal '${this.#names.journal}' holds what is no record in its message ${message}`
      throw new FedloraError('E_JOURNAL_CORRUPT', `${what}; restore the stream from a backup`, { message }, error)
    }
  }

  async #tried<T>(asked: Promise<T>): Promise<T> {
    return await asked.catch((error: unknown) => {
      throw natsError(error, `the journal '${this.#names.journal}'`)
    })
  }

  append(records: readonly R[], after: number): Promise<number> {
    return new Promise((done, failed) => {
      if (this.#closed)
        throw new FedloraError('E_DISPOSED', `the journal '${this.#names.journal}' was closed; open it again`)
      this.#waiting.push({ text: recordsText(records), count: records.length, after, done, failed })
      if (!this.#writing) void this.#write()
    })
  }

  /** Writes what waits, all that fits into one message at a time. */
  async #write(): Promise<void> {
    this.#writing = true
    while (this.#waiting.length > 0) {
      const taken = this.#waiting.splice(0)
      try {
        await this.#together(taken)
      } catch (error) {
        for (const { failed } of taken) failed(error)
      }
    }
    this.#writing = false
  }

  async #together(taken: readonly Waiting[]): Promise<void> {
    if (this.#fenced !== undefined) throw this.#fenced
    const ends: { done: Waiting['done']; sequence: number }[] = []
    const texts: string[] = []
    let sequence = this.#sequence
    for (const { text, count, after, done, failed } of taken) {
      if (after !== sequence) {
        const message = `the journal '${this.#names.journal}' stands at record ${sequence}, and its writer at ${after}`
        failed(new FedloraError('E_JOURNAL_FENCED', message, { expected: after, got: sequence }))
        continue
      }
      if (count > 0) texts.push(text)
      sequence += count
      ends.push({ done, sequence })
    }
    if (texts.length > 0) {
      this.#message = await this.#publish(this.#bodyOf(texts))
      this.#sequence = sequence
    }
    for (const { done, sequence } of ends) done(sequence)
  }

  /** Sends a message until it is known to be there; what it became of a call that was cut is seen in the stream. */
  async #publish(body: string): Promise<number> {
    const bytes = Buffer.byteLength(body)
    if (bytes > mostBytes) {
      const message = `${bytes} bytes are too many for one message of the journal, expected at most ${mostBytes}`
      throw new FedloraError('E_TOO_LARGE', message, { bytes, most: mostBytes })
    }
    const { JetStreamApiError } = await jetstreams()
    const { journal, journalSubject } = this.#names
    for (;;) {
      await this.#mayWrite()
      try {
        const ack = await this.#streams.publish(journalSubject, body, {
          expect: { streamName: journal, lastSequence: this.#message },
        })
        return ack.seq
      } catch (error) {
        if (error instanceof JetStreamApiError) {
          if (error.code === wrongLastSequence) return await this.#seen(body)
          throw natsError(error, `cannot append to the journal '${journal}'`)
        }
        const coded = natsError(error, `cannot append to the journal '${journal}'`)
        const again = coded instanceof FedloraError && coded.code === 'E_UNREACHABLE' && !this.#connection.isClosed()
        if (!again) throw coded
        await new Promise((resolve) => setTimeout(resolve, 200))
      }
    }
  }

  /** The message after the last known one: an earlier try of this very message, or another writer's. */
  async #seen(body: string): Promise<number> {
    const next = this.#message + 1
    const stored = await this.#tried(this.#manager.streams.getMessage(this.#names.journal, { seq: next }))
    if (stored?.string() === body) return next
    const message = `another server writes the journal '${this.#names.journal}'; this one has lost it and must stop`
    this.#fenced = new FedloraError('E_JOURNAL_FENCED', message, { message: next })
    throw this.#fenced
  }

  /** The connection is its owner's. */
  async close(): Promise<void> {
    this.#closed = true
  }
}
