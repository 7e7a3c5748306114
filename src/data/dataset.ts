/** Data sets: rows of a known format, read once, tokenised when they are used. */

import { FedloraError } from '../errors.js'
import { columnWarnings, countRows, type DatasetCounts, type Origin } from './counts.js'
import type { FormatName, Row } from './formats/formats.js'
import { cut, factsOf, type RowFacts, type Sample } from './ids/sample.js'
import { type PromptFormat, type PromptText, rowPrompt } from './prompt.js'
import type { Place } from './rows/places.js'
import type { Rows } from './rows/rows.js'
import { cutParts, type PartsOptions } from './split/parts.js'
import type { Tokenizer } from './tokenizer/tokenizer.js'
import type { PrepareOptions } from './tokens/prepare.js'

export class Dataset {
  readonly format: FormatName
  /** Tokens of a row at most: as asked for, else 1,024, or the positions of the model that a run fitted it to. */
  readonly maxLength: number
  /** The tokenizer that {@link sample} uses, if one was given. */
  readonly tokenizer: Tokenizer | undefined
  readonly #rows: Rows
  readonly #indices: Int32Array
  readonly #origin: Origin
  readonly #views: WeakMap<Tokenizer, Dataset>
  readonly #fitted = new Map<number, Dataset>()
  readonly #fingerprints = new Map<string, string>()

  /** @internal Use `loadDataset`. */
  constructor(rows: Rows, indices: Int32Array, origin: Origin, tokenizer?: Tokenizer, maxLength?: number) {
    this.#rows = rows
    this.#indices = indices
    this.#origin = origin
    this.#views = new WeakMap()
    this.format = rows.config.format
    this.maxLength = maxLength ?? rows.config.maxLength
    this.tokenizer = tokenizer
  }

  get length(): number {
    return this.#indices.length
  }

  #at(index: number): number {
    const inner = Number.isInteger(index) ? this.#indices[index] : undefined
    if (inner !== undefined) return inner
    throw new FedloraError('E_ARGUMENT', `row ${index}: expected an integer from 0 to ${this.length - 1}`, { index })
  }

  /** The row as it was read. */
  row(index: number): Row {
    return this.#rows.row(this.#at(index))
  }

  /** The row's category: the field that `category` names, else the one the format knows (dolly: 'category'). */
  category(index: number): string | undefined {
    return this.#rows.category(this.#at(index))
  }

  /** @internal The field that the option `category` names. */
  get categoryField(): string | undefined {
    return this.#rows.config.category
  }

  #needsTokenizer(): void {
    if (this.tokenizer === undefined && this.#rows.format.needsTokenizer) this.#noTokenizer()
  }

  #noTokenizer(): never {
    throw new FedloraError(
      'E_ARGUMENT',
      'the data set has no tokenizer; pass one to loadDataset, or call tokenized(tokenizer)',
    )
  }

  /**
   * The row as ids and labels. A row that was not prepared is tokenised at once.
   *
   * @throws E_ARGUMENT without a tokenizer; E_DATA when the chat template refuses the row; E_TOKENIZER without an end token
   */
  sample(index: number): Sample {
    this.#needsTokenizer()
    const sample = this.#rows.sample(this.#at(index), this.tokenizer ?? null)
    return sample.inputIds.length <= this.maxLength ? sample : cut(sample, this.maxLength)
  }

  /**
   * @internal What is known of a row without its ids; a row that was not prepared is tokenised at once.
   * @throws as {@link sample}
   */
  facts(index: number): RowFacts {
    this.#needsTokenizer()
    const facts = this.#rows.facts(this.#at(index), this.tokenizer ?? null)
    return facts.tokens <= this.maxLength ? facts : factsOf(this.sample(index))
  }

  /** @internal Where a row was read: its file, and its line or number. */
  place(index: number): Place {
    return this.#rows.place(this.#at(index))
  }

  /**
   * @internal Refuses a `maxLength` that was asked for and is more than a model has positions.
   * @throws E_CONFIG
   */
  checkLength(positions: number): void {
    if (!this.#origin.ownLength || this.maxLength <= positions) return
    throw new FedloraError(
      'E_CONFIG',
      `data options: maxLength: got ${this.maxLength}, but the model has ${positions} positions; give at most ${positions}, or leave it out`,
      { maxLength: this.maxLength, positions },
    )
  }

  /** @internal The same rows for a model of so many positions: longer rows are cut or, with `overlong: 'drop'`, left out. */
  fitted(positions: number): Dataset {
    this.checkLength(positions)
    if (this.maxLength <= positions) return this
    const known = this.#fitted.get(positions)
    if (known !== undefined) return known
    const view = new Dataset(this.#rows, this.#indices, this.#origin, this.tokenizer, positions).withoutOverlong()
    this.#fitted.set(positions, view)
    return view
  }

  /**
   * Tokenises every row that is not yet, in slices of about 20 ms between which the program goes on; `train`, `evaluate` and `simulate`
   * do it first. Ids of large data sets lie in a file afterwards, and are kept for the next time (see `cache` and `cacheDir` of
   * `loadDataset`). What was tokenised before is not done again.
   *
   * @param options `signal` ends it at once; `onProgress` hears `{ phase, done, total, rows, tokens, seconds, remaining }` about twice a second;
   *   `onWarning` hears of a damaged or unusable cache (default: `process.emitWarning`)
   * @throws as {@link sample}, for the first row that cannot be tokenised, with its file and line; the signal's reason when aborted
   */
  async prepare(options: PrepareOptions = {}): Promise<this> {
    this.#needsTokenizer()
    await this.#rows.prepare(this.#indices, this.tokenizer ?? null, options)
    return this
  }

  /** The same rows with `tokenizer` (one that the data set was loaded with is kept). The same tokenizer gives the same object. */
  tokenized(tokenizer: Tokenizer): Dataset {
    if (this.tokenizer !== undefined) return this
    const known = this.#views.get(tokenizer)
    if (known !== undefined) return known
    const view = new Dataset(this.#rows, this.#indices, this.#origin, tokenizer, this.maxLength).withoutOverlong()
    this.#views.set(tokenizer, view)
    return view
  }

  /** @internal {@link tokenized} and {@link prepare} in one, which never tokenises all rows at once. */
  async ready(tokenizer: Tokenizer | undefined, options: PrepareOptions = {}): Promise<Dataset> {
    if (this.tokenizer !== undefined || tokenizer === undefined) return await this.prepare(options)
    await this.#rows.prepare(this.#indices, tokenizer, options)
    return this.tokenized(tokenizer)
  }

  /** The rows at `indices`, in that order. */
  subset(indices: Iterable<number>): Dataset {
    const inner = Int32Array.from(indices, (index) => this.#at(index))
    const origin = { ...this.#origin, skipped: 0, empty: 0, dropped: 0 }
    return new Dataset(this.#rows, inner, origin, this.tokenizer, this.maxLength)
  }

  /** @internal With `overlong: 'drop'`: without the rows over `maxLength`, which are counted as dropped. */
  withoutOverlong(): Dataset {
    if (this.#rows.config.overlong !== 'drop') return this
    const inner = this.#indices.filter((_, index) => !this.facts(index).truncated)
    const dropped = this.#origin.dropped + this.length - inner.length
    return new Dataset(this.#rows, inner, { ...this.#origin, dropped }, this.tokenizer, this.maxLength)
  }

  /** How prompts are made of rows of this kind; undefined for the format `tokens`, which has none. */
  get promptFormat(): PromptFormat | undefined {
    const { format, fields, chatTemplateKwargs } = this.#rows.config
    if (format === 'tokens') return undefined
    const isChat =
      format === 'prompt-completion' && this.length > 0 && Array.isArray(this.row(0)[fields.prompt ?? 'prompt'])
    return isChat ? { format: 'messages', fields: {}, chatTemplateKwargs } : { format, fields, chatTemplateKwargs }
  }

  /**
   * What the model is given of a row: text and ids, exactly those that the row trains on before its completion. `model.generate` takes it.
   *
   * @param row an index, or a row of this format, whose completion may be missing
   * @throws E_ARGUMENT without a tokenizer, or for the format `tokens`; E_DATA when a column of the prompt is missing
   */
  prompt(row: number | Row): PromptText {
    const { format, fields, chatTemplateKwargs } = this.#rows.config
    const tokenizer = this.tokenizer ?? this.#noTokenizer()
    return rowPrompt(typeof row === 'number' ? this.row(row) : row, { format, fields, chatTemplateKwargs }, tokenizer)
  }

  /** What a run says once about columns that are not read. */
  get warnings(): string[] {
    return columnWarnings(this.format, this.#origin.unread, this.tokenizer)
  }

  /** What became of the rows. Tokenises those that are not yet; without a tokenizer, only `rows` and `skipped` are known. */
  get counts(): DatasetCounts {
    const known = this.tokenizer !== undefined || !this.#rows.format.needsTokenizer
    return countRows(this.#origin, this.length, known ? (index) => this.facts(index) : undefined, this.tokenizer)
  }

  #fingerprint(more: unknown): string {
    const name = JSON.stringify(more)
    const known = this.#fingerprints.get(name) ?? this.#rows.fingerprint(this.#indices, more)
    this.#fingerprints.set(name, known)
    return known
  }

  /** SHA-256 over contents and order of the rows, and the options that shape their tokens: equal data train equally. */
  get fingerprint(): string {
    const { format, overlong, fields, trainOn, chatTemplateKwargs } = this.#rows.config
    const { maxLength } = this
    const chat = {
      ...(trainOn !== 'assistant' && { trainOn }),
      ...(Object.keys(chatTemplateKwargs).length > 0 && { chatTemplateKwargs }),
    }
    return this.#fingerprint({ format, maxLength, overlong, fields, ...chat })
  }

  /** SHA-256 over contents and order of the rows alone. */
  get rowsFingerprint(): string {
    return this.#fingerprint('rows')
  }

  /**
   * Parts by shares of the rows, drawn by seed; every row is in one part at most, and in exactly one when the shares sum to 1.
   * Rows keep their order within a part.
   *
   * @throws E_CONFIG when the shares sum to more than 1
   */
  split(options: PartsOptions): { train: Dataset; validation: Dataset; test: Dataset } {
    const parts = cutParts(this.length, options)
    return { train: this.subset(parts.train), validation: this.subset(parts.validation), test: this.subset(parts.test) }
  }

  /** The tokenised rows in order. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Sample> {
    for (let i = 0; i < this.length; ++i) yield this.sample(i)
  }
}
