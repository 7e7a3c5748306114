/**
 * The rows of a data set as they were read. Few rows are kept as objects; beyond {@link heldBytes} of text only the place of each is kept,
 * 12 bytes a row, in the file it came from or in a nameless file of our own, and a row is read again when it is asked for.
 */
import { dirname } from 'node:path'
import { FedloraError } from '../../errors.js'
import { ioError } from '../../files/atomic.js'
import { type OpenFile, scratchFile } from '../../files/open-file.js'
import type { Row } from '../formats/formats.js'
import { growingFloat64, growingUint32 } from '../growing.js'
import type { RawRow } from './row-error.js'

/** Text of rows that are kept as objects: 8 MiB, which take about five times as much. */
export const heldBytes = 8 * 2 ** 20
/** Written to the nameless file at once: 1 MiB. */
const pageBytes = 2 ** 20

/** Rows as bytes and back. */
export interface RowCodec {
  /** undefined: such a row has no bytes and is kept as it is. */
  encode(row: Row): Uint8Array | undefined
  decode(bytes: Uint8Array): Row
}

export class RowStore {
  readonly #codec: RowCodec
  readonly #folders: readonly string[]
  #limit: number
  /** Rows kept as objects: all of them while they are few, then those that have no bytes. */
  readonly #held = new Map<number, Row>()
  /** Bytes of held rows that lie in no file. */
  readonly #texts = new Map<number, Uint8Array>()
  #stored = false
  #bytes = 0
  /** Where a row begins in its file, and its bytes. */
  readonly #begins = growingFloat64()
  readonly #sizes = growingUint32()
  #own: OpenFile | undefined
  #ownBytes = 0
  #page: Uint8Array[] = []
  #pageBytes = 0
  /** Files of rows in place: a row's is the last whose `from` is not above it; undefined stands for our own file. */
  readonly #files: { from: number; file: OpenFile | undefined; changed: number }[] = []

  /**
   * @param folders - where the nameless file may lie; the system's temporary folder is the last resort.
   * @param limit - bytes of text that are kept as objects; Infinity: all of them.
   */
  constructor(codec: RowCodec, folders: readonly string[], limit = heldBytes) {
    this.#codec = codec
    this.#folders = folders
    this.#limit = limit
  }

  get length(): number {
    return this.#sizes.length
  }

  /** Bytes of the rows' text, as far as they have been counted. */
  get bytes(): number {
    return this.#bytes
  }

  /** Counts bytes of rows that came without their text. */
  count(bytes: number): void {
    if (this.#limit === Number.POSITIVE_INFINITY) this.#bytes += bytes
  }

  /** Rows that follow lie in `file` where they say, or (undefined) in none. */
  begin(file: OpenFile | undefined): void {
    this.#files.push({ from: this.length, file, changed: file?.stat().changed ?? 0 })
  }

  /** Adds a row; {@link settle} is to be awaited now and then. */
  add({ row, text, at }: RawRow): void {
    const index = this.length
    const bytes = this.#limit === Number.POSITIVE_INFINITY ? undefined : (text ?? this.#codec.encode(row!))
    this.#bytes += bytes?.length ?? 0
    this.#sizes.push(bytes?.length ?? 0)
    this.#begins.push(at ?? Number.NaN)
    if (bytes === undefined || !this.#stored) this.#held.set(index, row!)
    if (bytes === undefined || at !== undefined) return
    if (this.#stored) this.#append(index, bytes)
    else this.#texts.set(index, Uint8Array.from(bytes))
  }

  #append(index: number, bytes: Uint8Array): void {
    this.#begins.set(index, this.#ownBytes + this.#pageBytes)
    this.#page.push(this.#stored ? Uint8Array.from(bytes) : bytes)
    this.#pageBytes += bytes.length
  }

  /** Moves rows out of memory when there are many. */
  async settle(): Promise<void> {
    if (!this.#stored && this.#bytes > this.#limit) await this.#leaveMemory()
    if (this.#pageBytes >= pageBytes) await this.#writePage()
  }

  async #leaveMemory(): Promise<void> {
    for (const [index, bytes] of this.#texts) this.#append(index, bytes)
    try {
      await this.#writePage()
    } catch {
      // Neither the cache's folder nor the system's takes a file: the rows stay where they are.
      this.#limit = Number.POSITIVE_INFINITY
      this.#page = []
      this.#pageBytes = 0
      return
    }
    for (const index of this.#held.keys()) if (this.#sizes.at(index) > 0) this.#held.delete(index)
    this.#texts.clear()
    this.#stored = true
  }

  async #writePage(): Promise<void> {
    if (this.#pageBytes === 0) return
    this.#own ??= await scratchFile(this.#folders)
    try {
      await this.#own.write(Buffer.concat(this.#page), this.#ownBytes)
    } catch (error) {
      throw ioError(
        error,
        `cannot write the rows to '${dirname(this.#own.path)}' (cacheDir, or TMPDIR, names another folder)`,
      )
    }
    this.#ownBytes += this.#pageBytes
    this.#page = []
    this.#pageBytes = 0
  }

  /** To be awaited after the last row, before the first is asked for. */
  async finish(): Promise<void> {
    await this.settle()
    await this.#writePage()
    this.#texts.clear()
  }

  /** @throws FedloraError `E_IO` when the file of the row cannot be read; `E_DATA` when it was changed since. */
  row(index: number): Row {
    const held = this.#held.get(index)
    if (held !== undefined) return held
    const bytes = Buffer.allocUnsafe(this.#sizes.at(index))
    const { file, changed } = this.#files.findLast(({ from }) => from <= index)!
    if (file !== undefined && file.stat().changed !== changed) {
      throw new FedloraError(
        'E_DATA',
        `${file.path}: was changed after it was read; load it again, and write new rows into a new file while it is in use`,
        { file: file.path },
      )
    }
    ;(file ?? this.#own!).read(bytes, this.#begins.at(index))
    return this.#codec.decode(bytes)
  }
}
