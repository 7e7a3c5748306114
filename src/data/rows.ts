/** The rows of a data set, shared by every subset of it, and their tokenised form by tokenizer. */

import { createHash } from 'node:crypto'
import { FedloraError } from '../errors.js'
import { cureForMissing } from './columns.js'
import type { DatasetConfig } from './dataset-options.js'
import { encodeSegments, type Format, formats, notSupervised, type Row, type Sample } from './formats.js'
import { type RawRow, rowError } from './row-error.js'
import type { Tokenizer } from './tokenizer.js'

/** A tokenised row, and what happened to it. */
export interface TokenizedRow extends Sample {
  readonly truncated: boolean
  readonly unsupervised: boolean
}

/** Typed arrays as lists, big integers as text: one spelling for one content. */
function canonical(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  return ArrayBuffer.isView(value) && !(value instanceof DataView)
    ? Array.from(value as unknown as ArrayLike<unknown>)
    : value
}

export class Rows {
  readonly config: Omit<DatasetConfig, 'tokenizer'>
  readonly format: Format
  readonly #raw: RawRow[]
  readonly #tokenized = new Map<Tokenizer | null, (TokenizedRow | undefined)[]>()
  #digests: Buffer[] | undefined

  /** @param raw rows that the format has checked */
  constructor(raw: RawRow[], config: Omit<DatasetConfig, 'tokenizer'>) {
    this.#raw = raw
    this.config = config
    this.format = formats[config.format]
  }

  get length(): number {
    return this.#raw.length
  }

  row(index: number): Row {
    return this.#raw[index]!.row!
  }

  category(index: number): string | undefined {
    const { category } = this.config
    const row = category === undefined ? renamed(this.row(index), this.config.fields) : this.row(index)
    const field = category ?? this.format.category
    const value = field === undefined ? undefined : row[field]
    return value === undefined || value === null ? undefined : String(value)
  }

  /** The row as ids, cut to `maxLength`; kept for the next time. `tokenizer` may be null for a format that needs none. */
  tokenized(index: number, tokenizer: Tokenizer | null): TokenizedRow {
    let kept = this.#tokenized.get(tokenizer)
    if (kept === undefined) {
      kept = new Array(this.#raw.length)
      this.#tokenized.set(tokenizer, kept)
    }
    const known = kept[index]
    if (known !== undefined) return known
    const made = this.#tokenize(index, tokenizer)
    kept[index] = made
    return made
  }

  #tokenize(index: number, tokenizer: Tokenizer | null): TokenizedRow {
    const raw = this.#raw[index]!
    let sample: Sample
    try {
      // A format that needs no tokenizer gives ids only, so that the null is never looked at.
      const segments = this.format.segments(renamed(raw.row!, this.config.fields), tokenizer as Tokenizer, this.config)
      sample = encodeSegments(segments, tokenizer as Tokenizer)
    } catch (error) {
      if (!(error instanceof FedloraError) || error.code !== 'E_DATA') throw error
      const message = `${raw.file}, ${raw.unit} ${raw.number}: ${error.message}`
      throw new FedloraError('E_DATA', message, { file: raw.file, [raw.unit]: raw.number, ...error.details }, error)
    }
    const truncated = sample.inputIds.length > this.config.maxLength
    const inputIds = truncated ? sample.inputIds.slice(0, this.config.maxLength) : sample.inputIds
    const labels = truncated ? sample.labels.slice(0, this.config.maxLength) : sample.labels
    // The first token is predicted by nothing, so that its label trains nothing.
    const unsupervised = labels.subarray(1).every((label) => label === notSupervised)
    return { inputIds, labels, truncated, unsupervised }
  }

  /** SHA-256 over the contents of the rows at `indices`, in that order, and `more`. */
  fingerprint(indices: ArrayLike<number>, more: unknown): string {
    this.#digests ??= this.#raw.map(({ row }) => createHash('sha256').update(JSON.stringify(row, canonical)).digest())
    const hash = createHash('sha256').update(JSON.stringify(more))
    for (let i = 0; i < indices.length; ++i) hash.update(this.#digests[indices[i]!]!)
    return hash.digest('hex')
  }
}

/** The row under the names that the format expects. */
export function renamed(row: Row, fields: Readonly<Record<string, string>>): Row {
  const entries = Object.entries(fields)
  if (entries.length === 0) return row
  const result: Record<string, unknown> = { ...row }
  for (const [name, source] of entries) result[name] = row[source]
  return result
}

/** What is wrong with `raw` under `config`, or null; `details.empty` is true where the row is well-formed but holds nothing to learn. */
export function checkRow(raw: RawRow, config: Omit<DatasetConfig, 'tokenizer'>): FedloraError | null {
  if (raw.problem !== null) return rowError(raw, raw.problem)
  const row = raw.row!
  const problem = formats[config.format].check(renamed(row, config.fields))
  if (problem !== null) {
    const [, head, rest] = /^([^.[]*)(.*)$/.exec(problem.field)!
    const missing = problem.found === 'nothing' && rest === ''
    const cure = missing ? { cure: cureForMissing(config.format, row) } : {}
    return rowError(raw, { ...problem, ...cure, field: (config.fields[head!] ?? head!) + rest! })
  }
  const { category } = config
  if (category !== undefined && !['string', 'number', 'boolean'].includes(typeof row[category])) {
    return rowError(raw, {
      field: category,
      expected: 'a category',
      found: row[category] === null ? 'null' : typeof row[category],
    })
  }
  return null
}
