/** The state of a federation's server and its journal, as one: what is decided is appended, and is so when it is durable. One thing at a time. */
import { FedloraError, isFedloraError } from '../../errors.js'
import type { Journal } from '../journal/journal.js'
import { type Record as Entry, recordSchema } from './records.js'
import { apply, emptyState, type State } from './state.js'

export class Book {
  readonly state: State = emptyState()
  readonly #journal: Journal<Entry>
  #sequence = 0
  #turn: Promise<unknown> = Promise.resolve()
  #closed = false
  /** Why nothing can be done any more. */
  #fatal: unknown
  readonly #onFatal: (error: unknown) => void

  /** @param onFatal - told when another server has taken over. */
  constructor(journal: Journal<Entry>, onFatal: (error: unknown) => void) {
    this.#journal = journal
    this.#onFatal = onFatal
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
      this.#sequence = sequence
    }
  }

  /** Whether nothing is done any more. */
  get ended(): boolean {
    return this.#closed || this.#fatal !== undefined
  }

  /** @throws what ended it; FedloraError `E_UNREACHABLE` after it was closed. */
  checkOpen(): void {
    if (this.#fatal !== undefined) throw this.#fatal
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
      if (isFedloraError(error, 'E_JOURNAL_FENCED')) {
        this.#fatal = error
        this.#onFatal(error)
      }
      throw error
    }
    for (const record of records) apply(this.state, record)
  }

  /** After what is under way. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#turn
    await this.#journal.close()
  }
}
