/** Data sets: rows of a known format, read once, tokenised when they are used. */

import { FedloraError } from '../errors.js'
import { closest, parseOptions } from '../options/parse.js'
import { Random, randomStreams } from '../random/random.js'
import {
  type DatasetConfig,
  type DatasetOptions,
  defaultMaxLength,
  loadOptionsSchema,
  type PartsOptions,
  partsSchema,
} from './dataset-options.js'
import { type Format, type FormatName, formats, type Row } from './formats/formats.js'
import { cut, factsOf, type RowFacts, type Sample } from './ids/sample.js'
import { type PromptFormat, type PromptText, rowPrompt } from './prompt.js'
import { readDataset } from './reading/read-dataset.js'
import type { DataSource } from './reading/read-rows.js'
import type { UnreadColumns } from './rows/columns.js'
import type { Place } from './rows/places.js'
import { Rows } from './rows/rows.js'
import { resolveTokenizer, type Tokenizer } from './tokenizer/tokenizer.js'
import type { PrepareOptions } from './tokens/prepare.js'
import { defaultCacheFolder } from './tokens/token-cache.js'

/** What became of the rows. */
export interface DatasetCounts {
  /** Rows in this data set. */
  readonly rows: number
  /** Rows cut to `maxLength` (with `overlong: 'drop'`: left out for their length). */
  readonly truncated: number
  /** Bad rows left out while reading (`onBadRow: 'skip'`). */
  readonly skipped: number
  /** Rows that hold no supervised token, and so teach nothing. */
  readonly unsupervised: number
  /** Rows left out while reading because they hold nothing to learn: a blank record, a blank completion. */
  readonly empty: number
  /**
   * Columns that the format does not read, and `tools` and `documents` where the chat template makes no use of them; each with the number
   * of rows, of all that were read, in which it holds something.
   */
  readonly ignoredColumns: Readonly<Record<string, number>>
}

interface Origin {
  readonly skipped: number
  readonly empty: number
  readonly dropped: number
  readonly unread: UnreadColumns
  /** Whether `maxLength` was asked for. */
  readonly ownLength: boolean
}

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

  /** @internal Use {@link loadDataset}. */
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
   * {@link loadDataset}). What was tokenised before is not done again.
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

  /** Columns that are handed to a chat template which makes no use of them. */
  get #unusedByTemplate(): [string, number][] {
    const template = this.tokenizer?.chatTemplate
    return Object.entries(this.#origin.unread.template).filter(([name]) => template?.mentions(name) === false)
  }

  /** What a run says once about columns that are not read. */
  get warnings(): string[] {
    const list = (columns: [string, number][]) => columns.map(([name, rows]) => `${name} (${rows} rows)`).join(', ')
    const ignored = Object.entries(this.#origin.unread.ignored)
    const unused = this.#unusedByTemplate
    return [
      ...(ignored.length > 0 ? [`columns that the format ${this.format} does not read: ${list(ignored)}`] : []),
      ...(unused.length > 0 ? [`columns that the chat template makes no use of: ${list(unused)}`] : []),
    ]
  }

  /** What became of the rows. Tokenises those that are not yet; without a tokenizer, only `rows` and `skipped` are known. */
  get counts(): DatasetCounts {
    let truncated = this.#origin.dropped
    let unsupervised = 0
    if (this.tokenizer !== undefined || !this.#rows.format.needsTokenizer) {
      for (let i = 0; i < this.length; ++i) {
        const row = this.facts(i)
        if (row.truncated) ++truncated
        if (row.supervised === 0) ++unsupervised
      }
    }
    const { skipped, empty, unread } = this.#origin
    const ignoredColumns = { ...unread.ignored, ...Object.fromEntries(this.#unusedByTemplate) }
    return { rows: this.length, truncated, skipped, unsupervised, empty, ignoredColumns }
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
    const { train: share, validation, test, seed } = parseOptions(partsSchema, options, 'split options')
    const train = share ?? Math.max(0, 1 - validation - test)
    if (train + validation + test > 1 + 1e-9) {
      throw new FedloraError(
        'E_CONFIG',
        `split options: shares sum to ${train + validation + test}, expected at most 1`,
      )
    }
    const order = new Random(seed, randomStreams.split).shuffle(Int32Array.from({ length: this.length }, (_, i) => i))
    // Cutting at rounded cumulative shares leaves no row between two parts.
    const cuts = [0, train, train + validation, train + validation + test].map((sum) =>
      Math.round(Math.min(sum, 1) * this.length),
    )
    const part = (k: number) => this.subset(order.slice(cuts[k], cuts[k + 1]).sort())
    return { train: part(0), validation: part(1), test: part(2) }
  }

  /** The tokenised rows in order. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Sample> {
    for (let i = 0; i < this.length; ++i) yield this.sample(i)
  }
}

function checkFields(format: FormatName, fields: Readonly<Record<string, string>>): void {
  const known = formats[format].fields
  for (const name of Object.keys(fields)) {
    if (known.includes(name)) continue
    const meant = closest(name, known)
    const cure = meant === undefined ? `known: ${known.join(', ')}` : `did you mean "${meant}"?`
    const message = `data options: fields: the format ${format} has no field "${name}" (${cure})`
    throw new FedloraError('E_CONFIG', message, { field: `fields.${name}` })
  }
}

/** Refuses options about conversations for a format that has none. */
function checkChatOptions({ format, trainOn, chatTemplateKwargs }: Omit<DatasetConfig, 'tokenizer'>): void {
  if ((formats[format] as Format).conversational) return
  const field =
    trainOn === 'last' ? 'trainOn' : Object.keys(chatTemplateKwargs).length > 0 ? 'chatTemplateKwargs' : null
  if (field === null) return
  const message = `data options: ${field}: the format ${format} has no conversations; those that have: messages, prompt-completion`
  throw new FedloraError('E_CONFIG', message, { field })
}

/**
 * Reads rows of a known format. Large sets cost little memory: rows and ids lie in files, and are read when they are used.
 *
 * @param source a file (.jsonl, .ndjson, .json, .csv, .tsv, .txt, also with .gz or .zst behind), a folder of such, a pattern such as
 *   `data/*.jsonl`, a list of these, or an iterable of row objects, async or not
 * @param options see `DatasetOptions`; `signal` ends the reading, `onProgress` hears how far it is
 * @throws E_CONFIG for wrong options; E_ARGUMENT for a kind of file that is not read; E_MISSING, E_IO when a file cannot be read; E_DATA for
 *   a bad row (file, line or row, field, expected, found) or when no row is left; E_TOKENIZER when the tokenizer cannot be loaded; the
 *   signal's reason when aborted
 */
export async function loadDataset(source: DataSource, options: DatasetOptions): Promise<Dataset> {
  const parsed = parseOptions(loadOptionsSchema, options, 'data options')
  const { tokenizer: tokenizerLike, signal, onProgress, maxLength, ...rest } = parsed
  const config = { ...rest, maxLength: maxLength ?? defaultMaxLength }
  checkFields(config.format, config.fields)
  checkChatOptions(config)
  const tokenizer = tokenizerLike === undefined ? undefined : await resolveTokenizer(tokenizerLike)
  const cacheFolder = config.cache ? (config.cacheDir ?? defaultCacheFolder()) : undefined
  const folders = cacheFolder === undefined ? [] : [cacheFolder]
  const { read, ...origin } = await readDataset(source, config, { signal, onProgress, folders })
  const rows = new Rows(read, config, cacheFolder)
  const indices = Int32Array.from({ length: rows.length }, (_, i) => i)
  const dataset = new Dataset(rows, indices, { ...origin, dropped: 0, ownLength: maxLength !== undefined }, tokenizer)
  const usable = tokenizer !== undefined || !formats[config.format].needsTokenizer
  if (config.overlong !== 'drop' || !usable) return dataset
  return (await dataset.prepare({ signal, onProgress })).withoutOverlong()
}
