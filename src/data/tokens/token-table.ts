/**
 * Tokenised rows in a few flat arrays: 13 bytes a row beside its words, and the words of large tables lie in a file.
 *
 * A row's record, in 32-bit words: the number of runs r, r run lengths (not supervised first, then supervised, in turn; they sum to the
 * row's tokens n), n ids. Labels that are not their ids have no runs: −1, n labels, n ids.
 */
import { growingInt32, growingUint8 } from '../growing.js'
import { notSupervised } from '../ids/labels.js'
import type { LabelledIds, RowFacts, Sample } from '../ids/sample.js'
import type { Words } from './words.js'

/** What is known of every row without reading its words. */
export interface TokenIndex {
  /** Words of each row's record. */
  readonly words: Int32Array
  /** Tokens of each row. */
  readonly tokens: Int32Array
  /** Supervised tokens of each row. */
  readonly supervised: Int32Array
  /** 1: the row was cut to `maxLength`. */
  readonly truncated: Uint8Array
}

const explicitLabels = -1

/** The record of a row. */
export function encodeRecord({ inputIds, labels }: LabelledIds): Int32Array {
  const length = inputIds.length
  const runs: number[] = []
  let within = false
  let begin = 0
  let plain = true
  for (let i = 0; i < length; ++i) {
    const taught = labels[i] !== notSupervised
    if (taught && labels[i] !== inputIds[i]) plain = false
    if (taught === within) continue
    runs.push(i - begin)
    begin = i
    within = taught
  }
  if (begin < length) runs.push(length - begin)
  const head = plain && runs.length <= length ? [runs.length, ...runs] : [explicitLabels, ...labels]
  const record = new Int32Array(head.length + length)
  record.set(head)
  record.set(inputIds, head.length)
  return record
}

/** The row of a record with `length` tokens. */
export function decodeRecord(record: Int32Array, length: number): LabelledIds {
  const inputIds = record.slice(record.length - length)
  if (record[0] === explicitLabels) return { inputIds, labels: record.slice(1, 1 + length) }
  const labels = new Int32Array(length).fill(notSupervised)
  let at = 0
  for (let k = 0; k < record[0]!; ++k) {
    const end = at + record[1 + k]!
    if (k % 2 === 1) labels.set(inputIds.subarray(at, end), at)
    at = end
  }
  return { inputIds, labels }
}

/** Tokenised rows, complete. */
export class TokenTable {
  readonly index: TokenIndex
  readonly #words: Words
  /** Where each row's record begins, in words. */
  readonly #begins: Float64Array

  constructor(index: TokenIndex, words: Words) {
    this.index = index
    this.#words = words
    this.#begins = new Float64Array(index.words.length + 1)
    for (let row = 0; row < index.words.length; ++row) this.#begins[row + 1] = this.#begins[row]! + index.words[row]!
  }

  get rows(): number {
    return this.index.tokens.length
  }

  facts(row: number): RowFacts {
    const { tokens, supervised, truncated } = this.index
    return { tokens: tokens[row]!, supervised: supervised[row]!, truncated: truncated[row] === 1 }
  }

  /** @throws FedloraError `E_IO` when the file of the words cannot be read. */
  sample(row: number): Sample {
    const record = this.#words.read(this.#begins[row]!, this.#begins[row + 1]!)
    const { tokens, supervised, truncated } = this.facts(row)
    return { ...decodeRecord(record, tokens), supervised, truncated }
  }
}

/** The index of a table that is being written. */
export class IndexBuilder {
  readonly #words = growingInt32()
  readonly #tokens = growingInt32()
  readonly #supervised = growingInt32()
  readonly #truncated = growingUint8()

  /** @param words - of the row's record. */
  add(words: number, { inputIds, supervised, truncated }: Sample): void {
    this.#words.push(words)
    this.#tokens.push(inputIds.length)
    this.#supervised.push(supervised)
    this.#truncated.push(truncated ? 1 : 0)
  }

  finish(): TokenIndex {
    return {
      words: this.#words.finish(),
      tokens: this.#tokens.finish(),
      supervised: this.#supervised.finish(),
      truncated: this.#truncated.finish(),
    }
  }
}
