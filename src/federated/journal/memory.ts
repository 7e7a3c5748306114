/** A journal that ends with its process: for federations within one, and for tests. */
import { FedloraError } from '../../errors.js'
import { canonicalJson } from '../../files/canonical-json.js'
import type { Journal, JournalEntry } from './journal.js'

export class MemoryJournal<Record> implements Journal<Record> {
  /** As text, so that nobody changes what was appended. */
  readonly #records: string[]
  #closed = false

  /** @param before - a journal that this one goes on with, as another process would. */
  constructor(before?: MemoryJournal<Record>) {
    this.#records = before === undefined ? [] : before.#records
  }

  async *read(): AsyncGenerator<JournalEntry<Record>, void, undefined> {
    for (let i = 0; i < this.#records.length; i++) {
      yield { sequence: i + 1, record: JSON.parse(this.#records[i]!) as Record }
    }
  }

  async append(records: readonly Record[], after: number): Promise<number> {
    if (this.#closed) throw new FedloraError('E_DISPOSED', 'the journal was closed; open it again')
    const texts = records.map((record, i) => canonicalJson(record, `records[${i}]`))
    if (after !== this.#records.length) {
      const message = `the journal is at record ${this.#records.length}, expected ${after}: another server writes it`
      throw new FedloraError('E_JOURNAL_FENCED', message, { sequence: this.#records.length, expected: after })
    }
    this.#records.push(...texts)
    return this.#records.length
  }

  async close(): Promise<void> {
    this.#closed = true
  }
}
