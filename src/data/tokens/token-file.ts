/**
 * A token table as a file, little-endian:
 *
 *     magic (16 bytes) · key (64 hexadecimal digits) · words (4 W bytes) ·
 *     words of each row (4 R) · tokens (4 R) · supervised (4 R) · truncated (R) · R (8, float64) · W (8, float64) · SHA-256 of all before (32)
 *
 * The digest stands last and is looked at before anything is believed: a file that was torn, edited or renamed is no table.
 */
import { createHash, type Hash } from 'node:crypto'
import type { OpenFile } from '../../files/open-file.js'
import type { Sample } from '../ids/sample.js'
import { encodeRecord, IndexBuilder, type TokenIndex, TokenTable } from './token-table.js'
import { FileWords, WordWriter } from './words.js'

const magic = Buffer.from('fedlora-tokens1\n')
const headerBytes = magic.length + 64
const footerBytes = 16
const digestBytes = 32
/** Read at once when a file is checked. */
const pieceBytes = 2 ** 20

const bytesOf = (array: Int32Array | Uint8Array | Float64Array) =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength)

const header = (key: string) => Buffer.concat([magic, Buffer.from(key.padEnd(64, '.'), 'latin1')])

/** Writes rows one after the other into a table. */
export class TableWriter {
  readonly #index = new IndexBuilder()
  readonly #words: WordWriter
  readonly #hash: Hash
  readonly #key: string
  #rows = 0
  #tokens = 0

  /**
   * @param key - 64 hexadecimal digits that say what the table is made of; '' when the file is only for this process.
   * @param open - opens a file for a table that is too large for memory.
   */
  constructor(key: string, open: () => Promise<OpenFile>) {
    this.#key = key
    this.#hash = createHash('sha256').update(header(key))
    this.#words = new WordWriter(open, headerBytes, (bytes) => this.#hash.update(bytes))
  }

  get rows(): number {
    return this.#rows
  }

  get tokens(): number {
    return this.#tokens
  }

  /** Bytes of the words. */
  get bytes(): number {
    return 4 * this.#words.length
  }

  add(sample: Sample): void {
    const record = encodeRecord(sample)
    this.#words.append(record)
    this.#index.add(record.length, sample)
    this.#rows++
    this.#tokens += sample.inputIds.length
  }

  /** To be awaited now and then between rows: moves words to the file, when there are many. */
  async settle(): Promise<void> {
    await this.#words.settle()
  }

  /**
   * The table. With `toFile` the file is complete afterwards, by itself a table that {@link readTable} reads; `failure` says why not.
   * The table is good in any case.
   */
  async finish(toFile: boolean): Promise<{ table: TokenTable; failure: unknown }> {
    const index = this.#index.finish()
    const { file, failure } = await this.#words.finish(toFile)
    const table = new TokenTable(index, this.#words)
    if (!toFile || file === undefined) return { table, failure }
    try {
      await this.#complete(file, index)
      return { table, failure }
    } catch (error) {
      return { table, failure: error }
    }
  }

  async #complete(file: OpenFile, { words, tokens, supervised, truncated }: TokenIndex): Promise<void> {
    let position = headerBytes + this.bytes
    for (const part of [words, tokens, supervised, truncated, Float64Array.of(this.#rows, this.#words.length)]) {
      this.#hash.update(bytesOf(part))
      await file.write(bytesOf(part), position)
      position += part.byteLength
    }
    await file.write(this.#hash.digest(), position)
    await file.write(header(this.#key), 0)
  }
}

/**
 * The table in `file`, or undefined when it is not wholly the table of `key`.
 * @param onProgress - told of the bytes read and of all bytes; may throw to give up.
 */
export async function readTable(
  file: OpenFile,
  key: string,
  onProgress: (done: number, total: number) => Promise<void>,
): Promise<TokenTable | undefined> {
  const { size } = file.stat()
  const end = size - digestBytes
  if (end < headerBytes + footerBytes) return undefined
  const counts = new Float64Array(2)
  file.read(bytesOf(counts), end - footerBytes)
  const [rows, words] = counts as unknown as [number, number]
  if (!Number.isSafeInteger(rows) || !Number.isSafeInteger(words)) return undefined
  const indexBegin = headerBytes + 4 * words
  if (rows < 0 || words < 0 || indexBegin + 13 * rows + footerBytes !== end) return undefined
  const hash = createHash('sha256')
  const piece = new Uint8Array(pieceBytes)
  for (let position = 0; position < end; position += pieceBytes) {
    const part = piece.subarray(0, Math.min(pieceBytes, end - position))
    file.read(part, position)
    if (position === 0 && !header(key).equals(part.subarray(0, headerBytes))) return undefined
    hash.update(part)
    await onProgress(position + part.length, end)
  }
  const digest = new Uint8Array(digestBytes)
  file.read(digest, end)
  if (!hash.digest().equals(digest)) return undefined
  const index = {
    words: new Int32Array(rows),
    tokens: new Int32Array(rows),
    supervised: new Int32Array(rows),
    truncated: new Uint8Array(rows),
  }
  let position = indexBegin
  for (const part of [index.words, index.tokens, index.supervised, index.truncated]) {
    file.read(bytesOf(part), position)
    position += part.byteLength
  }
  return new TokenTable(index, new FileWords(file, headerBytes))
}
