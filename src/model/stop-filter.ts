/** Stop strings in a text that comes in pieces, cut exactly wherever the pieces break. */

/** Holds back text that may be the beginning of a stop string. */
export class StopFilter {
  readonly #stops: readonly string[]
  #held = ''

  constructor(stops: readonly string[]) {
    this.#stops = stops
  }

  /** The text that is safe to give out, and whether a stop string came up (the text then ends before it). */
  push(piece: string): { text: string; stopped: boolean } {
    const text = this.#held + piece
    const found = this.#stops.map((stop) => text.indexOf(stop)).filter((index) => index >= 0)
    if (found.length > 0) {
      this.#held = ''
      return { text: text.slice(0, Math.min(...found)), stopped: true }
    }
    const keep = Math.max(0, ...this.#stops.map((stop) => beginningAtEnd(text, stop)))
    this.#held = text.slice(text.length - keep)
    return { text: text.slice(0, text.length - keep), stopped: false }
  }

  /** What is still held when the text has ended. */
  finish(): string {
    const rest = this.#held
    this.#held = ''
    return rest
  }
}

/** How many characters at the end of `text` are a proper beginning of `stop`. */
function beginningAtEnd(text: string, stop: string): number {
  for (let length = Math.min(stop.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length
  }
  return 0
}
