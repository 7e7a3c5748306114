/** Characters as Python counts and classifies them: strings are sequences of code points, and white space has its own list. */

import { look } from './budget.js'

/** str.isspace() and \s, as the inside of a character class. */
export const spaceClass = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000'
const leadingSpace = new RegExp(`^[${spaceClass}]+`)
const onlySpace = new RegExp(`^[${spaceClass}]+$`)
const isSpaceUnit = new RegExp(`[${spaceClass}]`)
const surrogate = /[\ud800-\udfff]/

/** The code points of a text that has surrogates. */
function split(text: string): string[] {
  look(text.length)
  return Array.from(text)
}

export function isSpace(text: string): boolean {
  return onlySpace.test(text)
}

export function trimStart(text: string): string {
  return text.replace(leadingSpace, '')
}

export function trimEnd(text: string): string {
  let end = text.length
  while (end > 0 && isSpaceUnit.test(text[end - 1]!)) --end
  return text.slice(0, end)
}

/** The code points of `text`; a string can be indexed alike when it has no surrogates. */
export function points(text: string): ArrayLike<string> & Iterable<string> {
  return surrogate.test(text) ? split(text) : text
}

export function length(text: string): number {
  return surrogate.test(text) ? split(text).length : text.length
}

/** Code points `begin` to `end`, both already within the text. */
export function slice(text: string, begin: number, end: number): string {
  return surrogate.test(text) ? split(text).slice(begin, end).join('') : text.slice(begin, end)
}

/** Number of code points before UTF-16 unit `index`. */
export function pointIndex(text: string, index: number): number {
  return index < 0 ? index : length(text.slice(0, index))
}

/** Order of code points: negative, zero or positive. */
export function compareText(a: string, b: string): number {
  if (!surrogate.test(a) && !surrogate.test(b)) return a < b ? -1 : a > b ? 1 : 0
  const [x, y] = [split(a), split(b)]
  for (let i = 0; i < x.length && i < y.length; ++i) {
    const difference = x[i]!.codePointAt(0)! - y[i]!.codePointAt(0)!
    if (difference !== 0) return difference
  }
  return x.length - y.length
}

const digraphs = new Map([...'ǄǅǆǇǈǉǊǋǌǱǲǳ'].map((c, i) => [c, 'ǅǈǋǲ'[Math.floor(i / 3)]!]))

/** The title case of one character: upper case, of which only the first letter stays large. */
export function titleCase(character: string): string {
  const digraph = digraphs.get(character)
  if (digraph !== undefined) return digraph
  const upper = Array.from(character.toUpperCase())
  const first = upper.findIndex((c) => c !== c.toLowerCase())
  return first < 0
    ? upper.join('')
    : upper.slice(0, first + 1).join('') +
        upper
          .slice(first + 1)
          .join('')
          .toLowerCase()
}

/** Each character of `text` in lower case as it is in the whole: a sigma that ends a word has a form of its own. */
export function lowerEach(text: string): string[] {
  const whole = text.toLowerCase()
  let at = 0
  return Array.from(text, (c) => {
    const from = at
    at += c.toLowerCase().length
    return whole.slice(from, at)
  })
}

/** Lines as str.splitlines() sees them, with their ends when `keep`. */
export function splitLines(text: string, keep = false): string[] {
  const lines: string[] = []
  // biome-ignore lint/suspicious/noControlCharactersInRegex: Python's line ends
  const ends = /\r\n|[\n-\r\x1c-\x1e\x85\u2028\u2029]/g
  let from = 0
  for (let end = ends.exec(text); end !== null; end = ends.exec(text)) {
    lines.push(text.slice(from, keep ? ends.lastIndex : end.index))
    from = ends.lastIndex
  }
  if (from < text.length) lines.push(text.slice(from))
  return lines
}
