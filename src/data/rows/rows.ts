/** The rows of a data set, shared by every subset of it, and their tokenised form by tokenizer. */

import { FedloraError } from '../../errors.js'
import type { RowsConfig } from '../dataset-options.js'
import { type Format, formats, type Row } from '../formats/formats.js'
import { cut, type RowFacts, type Sample } from '../ids/sample.js'
import { Slices } from '../progress.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { encodeSegments } from '../tokens/encode-row.js'
import {
  cachedFrom,
  type PrepareOptions,
  prepareTable,
  tokenizerFingerprint,
  tokensVersion,
} from '../tokens/prepare.js'
import { TokenRows } from '../tokens/token-rows.js'
import type { Categories } from './categories.js'
import { categoryOf, renamed } from './check-row.js'
import type { Digests } from './digests.js'
import type { Place, Places } from './places.js'
import type { RowStore } from './row-store.js'

/** What the reading of a source leaves. */
export interface ReadRows {
  readonly store: RowStore
  readonly places: Places
  /** Of the rows read from files; those in memory get theirs when they are needed. */
  readonly digests: Digests
  readonly categories: Categories
}

export class Rows {
  readonly config: RowsConfig
  readonly format: Format
  readonly #read: ReadRows
  readonly #cacheFolder: string | undefined
  readonly #tokenized = new Map<Tokenizer | null, TokenRows>()
  #turn: Promise<unknown> = Promise.resolve()

  /**
   * @param read - rows that the format has checked
   * @param cacheFolder - where tokens of large sets are kept; undefined: nowhere
   */
  constructor(read: ReadRows, config: RowsConfig, cacheFolder: string | undefined) {
    this.#read = read
    this.#cacheFolder = cacheFolder
    this.config = config
    this.format = formats[config.format]
  }

  get length(): number {
    return this.#read.store.length
  }

  row(index: number): Row {
    return this.#read.store.row(index)
  }

  category(index: number): string | undefined {
    const { categories } = this.#read
    return categories.length > index ? categories.at(index) : categoryOf(this.row(index), this.config)
  }

  /** Where the row was read. */
  place(index: number): Place {
    return this.#read.places.at(index)
  }

  #rowsOf(tokenizer: Tokenizer | null): TokenRows {
    let rows = this.#tokenized.get(tokenizer)
    if (rows === undefined) {
      rows = new TokenRows(this.length)
      this.#tokenized.set(tokenizer, rows)
    }
    return rows
  }

  /** The row as ids, cut to `maxLength`. `tokenizer` may be null for a format that needs none. */
  sample(index: number, tokenizer: Tokenizer | null): Sample {
    return this.#rowsOf(tokenizer).sample(index, () => this.#tokenize(index, tokenizer))
  }

  /** What is known of the row's ids; cheap once the row is prepared. */
  facts(index: number, tokenizer: Tokenizer | null): RowFacts {
    return this.#rowsOf(tokenizer).facts(index, () => this.#tokenize(index, tokenizer))
  }

  #tokenize(index: number, tokenizer: Tokenizer | null): Sample {
    const row = renamed(this.row(index), this.config.fields)
    try {
      // A format that needs no tokenizer gives ids only, so that the null is never looked at.
      const segments = this.format.segments(row, tokenizer as Tokenizer, this.config)
      return cut(encodeSegments(segments, tokenizer as Tokenizer), this.config.maxLength)
    } catch (error) {
      if (!(error instanceof FedloraError) || error.code !== 'E_DATA') throw error
      const { file, unit, number } = this.#read.places.at(index)
      const message = `${file}, ${unit} ${number}: ${error.message}`
      throw new FedloraError('E_DATA', message, { ...error.details, file, [unit]: number }, error)
    }
  }

  /**
   * Tokenises those of the rows at `indices` that are not yet, in slices; from the cache where it has them.
   * One call at a time works; others wait for it.
   */
  async prepare(indices: Int32Array, tokenizer: Tokenizer | null, options: PrepareOptions): Promise<void> {
    const rows = this.#rowsOf(tokenizer)
    if (indices.every((index) => rows.has(index))) return
    const work = this.#turn.catch(() => {}).then(() => this.#prepare(indices, tokenizer, options))
    this.#turn = work
    await orAborted(work, options.signal)
  }

  async #prepare(indices: Int32Array, tokenizer: Tokenizer | null, options: PrepareOptions): Promise<void> {
    options.signal?.throwIfAborted()
    const rows = this.#rowsOf(tokenizer)
    const wanted = new Uint8Array(this.length)
    for (const index of indices) if (!rows.has(index)) wanted[index] = 1
    const missing = Int32Array.from({ length: this.length }, (_, index) => index).filter((index) => wanted[index] === 1)
    if (missing.length === 0) return
    await this.#digestAll(options.signal)
    const table = await prepareTable(
      {
        count: missing.length,
        tokenize: (k) => this.#tokenize(missing[k]!, tokenizer),
        cacheFolder: tokenizer === null ? undefined : this.#cacheFolder,
        key: async () => {
          const { format, maxLength, fields, trainOn, chatTemplateKwargs, cacheDir } = this.config
          const fingerprint = await tokenizerFingerprint(tokenizer!)
          const made = { tokensVersion, format, maxLength, fields, trainOn, chatTemplateKwargs, fingerprint }
          const key = this.#read.digests.hash(missing, made)
          const share = missing.length / this.length
          return { key, keep: cacheDir !== undefined || this.#read.store.bytes * share >= cachedFrom }
        },
      },
      options,
    )
    rows.add(table, missing)
  }

  /** Digests of rows in memory, in slices. */
  async #digestAll(signal: AbortSignal | undefined): Promise<void> {
    const { digests } = this.#read
    const slices = new Slices('reading', signal, undefined)
    while (digests.length < this.length) {
      this.#digestNext()
      if (slices.due) await slices.breathe()
    }
  }

  #digestNext(): void {
    const { digests, store } = this.#read
    const bytes = digests.add(store.row(digests.length))
    store.count(bytes)
  }

  /** SHA-256 over the contents of the rows at `indices`, in that order, and `more`. */
  fingerprint(indices: ArrayLike<number>, more: unknown): string {
    while (this.#read.digests.length < this.length) this.#digestNext()
    return this.#read.digests.hash(indices, more)
  }
}

/** `work`, or the signal's reason as soon as it fires. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await work
  let stop!: () => void
  const stopped = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason)
  })
  signal.addEventListener('abort', stop, { once: true })
  try {
    return await Promise.race([work, stopped])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
