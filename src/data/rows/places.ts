/** Where each row of a data set stands: its file and the line or row there, four bytes a row while there is one file. */
import { type Growing, growingUint32 } from '../growing.js'
import type { RawRow } from './row-error.js'

export type Place = Pick<RawRow, 'file' | 'unit' | 'number'>

export class Places {
  readonly #files: Omit<Place, 'number'>[] = []
  readonly #numbers = growingUint32()
  /** Which file each row is of; absent while there is one. */
  #fileOf: Growing<Uint32Array> | undefined

  get length(): number {
    return this.#numbers.length
  }

  add({ file, unit, number }: Place): void {
    const last = this.#files.at(-1)
    if (last?.file !== file || last.unit !== unit) this.#files.push({ file, unit })
    if (this.#files.length === 2 && this.#fileOf === undefined) {
      this.#fileOf = growingUint32()
      for (let row = 0; row < this.length; ++row) this.#fileOf.push(0)
    }
    this.#fileOf?.push(this.#files.length - 1)
    this.#numbers.push(number)
  }

  at(row: number): Place {
    return { ...this.#files[this.#fileOf?.at(row) ?? 0]!, number: this.#numbers.at(row) }
  }
}
