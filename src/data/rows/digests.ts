/** SHA-256 of every row's contents: equal rows have equal digests, whatever file or array they came from. */
import { createHash } from 'node:crypto'
import { keepsSpelling, stringifyExactly } from '../../files/exact-json.js'
import type { Row } from '../formats.js'
import { growingUint8 } from '../growing.js'

const size = 32

export class Digests {
  readonly #digests = growingUint8()

  /** Rows that have one. */
  get length(): number {
    return this.#digests.length / size
  }

  /**
   * Adds the digest of the next row.
   * @param plain - the row holds only what JSON knows.
   * @returns bytes of its JSON.
   */
  add(row: Row, plain = false): number {
    const text = plain && !keepsSpelling(row) ? JSON.stringify(row) : stringifyExactly(row)
    this.#digests.append(createHash('sha256').update(text).digest())
    return text.length
  }

  /** SHA-256 over `more` and the digests of the rows at `indices`, in that order. */
  hash(indices: ArrayLike<number>, more: unknown): string {
    const hash = createHash('sha256').update(JSON.stringify(more))
    const all = this.#digests.view()
    const page = Buffer.alloc(2048 * size)
    let filled = 0
    for (let i = 0; i < indices.length; ++i) {
      const from = indices[i]! * size
      for (let k = 0; k < size; ++k) page[filled + k] = all[from + k]!
      filled += size
      if (filled < page.length) continue
      hash.update(page)
      filled = 0
    }
    return hash.update(page.subarray(0, filled)).digest('hex')
  }
}
