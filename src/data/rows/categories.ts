/** One text a row out of few, four bytes each; given up when there are too many different ones. */
import { growingInt32 } from '../growing.js'

const mostTexts = 2 ** 16

export class Categories {
  readonly #codes = growingInt32()
  readonly #texts: (string | undefined)[] = []
  readonly #codeOf = new Map<string | undefined, number>()
  #given = false

  /** Rows whose text is known: all that were added, or none. */
  get length(): number {
    return this.#given ? 0 : this.#codes.length
  }

  add(text: string | undefined): void {
    if (this.#given) return
    let code = this.#codeOf.get(text)
    if (code === undefined) {
      code = this.#texts.length
      this.#texts.push(text)
      this.#codeOf.set(text, code)
      if (code >= mostTexts) {
        this.#given = true
        this.#codes.clear()
        this.#codeOf.clear()
        return
      }
    }
    this.#codes.push(code)
  }

  at(row: number): string | undefined {
    return this.#texts[this.#codes.at(row)]
  }
}
