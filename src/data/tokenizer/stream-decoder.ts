/**
 * Turns ids that arrive one by one into text. A piece is given out only when it can no longer change: a character whose UTF-8
 * bytes are spread over tokens is held back until its last byte is there. The concatenation of all pieces is the decoding of all ids.
 *
 * Only a window of ids is decoded each time: those of the last piece (a decoder may treat the first token of a text specially,
 * so a piece cannot be decoded alone) and those that are still held back.
 */
export class StreamDecoder {
  readonly #decode: (ids: readonly number[]) => string
  #ids: number[] = []
  /** How many of `#ids`, at the front, have been given out. */
  #given = 0

  /** @param decode decoding of a whole list of ids */
  constructor(decode: (ids: readonly number[]) => string) {
    this.#decode = decode
  }

  /** The text that `id` completes, often one word, '' while it is incomplete. */
  push(id: number): string {
    this.#ids.push(id)
    return this.#take(false)
  }

  /** What is still held back; broken bytes come out as U+FFFD. */
  finish(): string {
    return this.#take(true)
  }

  #take(all: boolean): string {
    const before = this.#decode(this.#ids.slice(0, this.#given))
    const now = this.#decode(this.#ids)
    if (now.length <= before.length || (!all && now.endsWith('\uFFFD'))) return ''
    this.#ids = this.#ids.slice(this.#given)
    this.#given = this.#ids.length
    return now.slice(before.length)
  }
}
