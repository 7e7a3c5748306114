/**
 * Tokenised rows in a few flat arrays: 13 bytes a row beside its words, and the words of large tables lie in a file.
 *
 * A row's record, in 32-bit words: the number of runs r, r run lengths (not supervised first, then supervised, in turn; they sum to the
 * row's tokens n), n ids. Labels that are not their ids have no runs: −1, n labels, n ids.
 */
import { notSupervised, type Sample } from '../formats/formats.js'
import { growingInt32, growingUint8 } from '../growing.js'
import type { Words } from './words.js'

/** What is known of every row without reading its words. */
export interface TokenIndex {
  /** Words of each row's record. */
  readonly words: Int32Array
  /** Tokens of each row. */
  readonly tokens: Int32Array
  /** Tokens that the loss is taken of: labels that are no −100, the first token's left out. */
  readonly supervised: Int32Array
  /** 1: the row was cut to `maxLength`. */
  readonly truncated: Uint8Array
}

const explicitLabels = -1

/** The record of a row, and its supervised tokens. */
export function encodeRecord({ inputIds, labels }: Sample): { record: Int32Array; supervised: number } {
  const length = inputIds.length
  const runs: number[] = []
  let supervised = 0
  let within = false
  let begin = 0
  let plain = true
  for (let i = 0; i < length; ++i) {
    const taught = labels[i] !== notSupervised
    if (taught && i > 0) ++supervised
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
  return { record, supervised }
}

/** The row of a record with `length` tokens. */
export function decodeRecord(record: Int32Array, length: number): Sample {
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

  /** @throws FedloraError `E_IO` when the file of the words cannot be read. */
  sample(row: number): Sample {
    const record = this.#words.read(this.#begins[row]!, this.#begins[row + 1]!)
    return decodeRecord(record, this.index.tokens[row]!)
  }
}

/** The index of a table that is being written. */
export class IndexBuilder {
  readonly #words = growingInt32()
  readonly #tokens = growingInt32()
  readonly #supervised = growingInt32()
  readonly #truncated = growingUint8()

  add(words: number, tokens: number, supervised: number, truncated: boolean): void {
    this.#words.push(words)
    this.#tokens.push(tokens)
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
