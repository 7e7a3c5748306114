/** What happened in a federation, in order, for ever: the state of its server is the fold of these records, and nothing else. */

export interface JournalEntry<Record> {
  /** From 1, without gaps. */
  readonly sequence: number
  readonly record: Record
}

/** An append that a writer was killed in, as it was found and cut off: nobody had been told that it is there. */
export interface Torn {
  /** Path of the file, and where in it the append began. */
  readonly file: string
  readonly byte: number
  readonly bytes: number
}

/** An append-only list of JSON records with one writer. */
export interface Journal<Record> {
  /** What was cut off when it was opened; undefined: nothing. */
  readonly torn?: Torn | undefined
  /** All records from the first on, as they were appended. @throws FedloraError `E_JOURNAL_CORRUPT`, `E_IO`. */
  read(): AsyncIterable<JournalEntry<Record>>
  /**
   * Appends records together: either all of them are there afterwards or none. They are durable when the call resolves. Calls made while one
   * is under way are written together with the next.
   * @param after - sequence of the last record that the writer knows of: another writer's record after it fences this one off.
   * @returns the sequence of the last record.
   * @throws FedloraError `E_JOURNAL_FENCED`, `E_DISK_FULL`, `E_IO`: then nothing is appended.
   */
  append(records: readonly Record[], after: number): Promise<number>
  close(): Promise<void>
}
