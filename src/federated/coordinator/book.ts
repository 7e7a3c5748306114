/** The state of a federation's server and its journal, as one: what is decided is appended, and is so when it is durable. One thing at a time. */
import { FedloraError, isFedloraError } from '../../errors.js'
import type { Journal } from '../journal/journal.js'
import { apply } from './apply.js'
import type { CoordinatorEvent } from './events.js'
import { eventsOf } from './events-of.js'
import { type Record as Entry, recordSchema } from './records.js'
import { emptyState, type State } from './state.js'

/** Who hears of what is appended. */
interface Hears {
  onEvent(event: CoordinatorEvent): void
  /** Another server has taken over, or this one has no state any more: one that is opened anew goes on. */
  onFatal(error: unknown): void
}

export class Book {
  readonly state: State = emptyState()
  readonly #journal: Journal<Entry>
  #sequence = 0
  #turn: Promise<unknown> = Promise.resolve()
  #closed = false
  /** Why nothing can be done any more. */
  #fatal: unknown
  readonly #hears: Hears
  /** What the records from the end of the last round on tell, as they were read. */
  readonly retold: CoordinatorEvent[] = []

  constructor(journal: Journal<Entry>, hears: Hears) {
    this.#journal = journal
    this.#hears = hears
  }

  /** Folds the journal. @throws FedloraError `E_JOURNAL_CORRUPT` for a record that is none, `E_IO`. */
  async read(): Promise<void> {
    for await (const { sequence, record } of this.#journal.read()) {
      const { success, data, error } = recordSchema.safeParse(record)
      if (!success) {
        const [issue] = error.issues
        const message = `record ${sequence} of the journal: ${issue!.path.join('.')}: ${issue!.message}`
        throw new FedloraError('E_JOURNAL_CORRUPT', message, { sequence })
      }
      apply(this.state, data)
      if (data.type === 'commit' || data.type === 'abandon') this.retold.length = 0
      this.retold.push(...eventsOf(data, this.state))
      this.#sequence = sequence
    }
  }

  /** Whether nothing is done any more. */
  get ended(): boolean {
    return this.#closed || this.#fatal !== undefined
  }

  /** @throws FedloraError `E_UNREACHABLE` when nothing is done any more: another server, or this one opened anew, goes on. */
  checkOpen(): void {
    if (this.#fatal !== undefined) {
      const { message } = this.#fatal as Error
      throw new FedloraError('E_UNREACHABLE', `the server of the federation has ended: ${message}`, {}, this.#fatal)
    }
    if (this.#closed) throw new FedloraError('E_UNREACHABLE', 'the server of the federation stops: ask again')
  }

  /** Runs one piece of work after the other. */
  async exclusive<R>(work: () => Promise<R>): Promise<R> {
    const result = this.#turn.then(async () => {
      this.checkOpen()
      return await work()
    })
    this.#turn = result.catch(() => {})
    return await result
  }

  /** What is appended is durable, and then so. Call within `exclusive`. */
  async append(...records: Entry[]): Promise<void> {
    try {
      this.#sequence = await this.#journal.append(records, this.#sequence)
    } catch (error) {
      if (isFedloraError(error, 'E_JOURNAL_FENCED')) this.fail(error)
      throw error
    }
    for (const record of records) {
      apply(this.state, record)
      for (const event of eventsOf(record, this.state)) this.#hears.onEvent(event)
    }
  }

  /** Nothing can be done any more, for this reason. */
  fail(error: unknown): void {
    this.#fatal = error
    this.#hears.onFatal(error)
  }

  /** After what is under way. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#turn
    await this.#journal.close()
  }
}
