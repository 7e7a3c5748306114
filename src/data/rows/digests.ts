/** SHA-256 of every row's contents: equal rows have equal digests, whatever file or array they came from. */
import { createHash, hash } from 'node:crypto'
import { keepsSpelling, stringifyExactly } from '../../files/exact-json.js'
import type { Row } from '../formats/formats.js'
import { growingUint8 } from '../growing.js'

const size = 32

/** Whether JSON.stringify would refuse a value, or write it otherwise than `stringifyExactly`, which takes several times as long. */
function hasOddValue(value: unknown): boolean {
  if (typeof value === 'bigint') return true
  if (typeof value !== 'object' || value === null) return false
  if (ArrayBuffer.isView(value) || 'toJSON' in value) return true
  if (Array.isArray(value)) return value.some(hasOddValue)
  for (const name in value) if (hasOddValue((value as Record<string, unknown>)[name])) return true
  return false
}

export class Digests {
  readonly #digests = growingUint8()

  /** Rows that have one. */
  get length(): number {
    return this.#digests.length / size
  }

  /**
   * Adds the digest of the next row.
   * @returns characters of its JSON.
   */
  add(row: Row): number {
    const text = keepsSpelling(row) || hasOddValue(row) ? stringifyExactly(row) : JSON.stringify(row)
    this.#digests.append(hash('sha256', text, 'buffer'))
    return text.length
  }

  /** SHA-256 over `more` and the digests of the rows at `indices`, in that order. */
  hash(indices: ArrayLike<number>, more: unknown): string {
    const whole = createHash('sha256').update(JSON.stringify(more))
    const all = this.#digests.view()
    const page = Buffer.alloc(2048 * size)
    let filled = 0
    for (let i = 0; i < indices.length; ++i) {
      const from = indices[i]! * size
      for (let k = 0; k < size; ++k) page[filled + k] = all[from + k]!
      filled += size
      if (filled < page.length) continue
      whole.update(page)
      filled = 0
    }
    return whole.update(page.subarray(0, filled)).digest('hex')
  }
}
