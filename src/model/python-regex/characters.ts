/**
 * Single characters as Python's `re` sees them: categories, sets, and what `(?i)` holds for equal. A character is a code point.
 * Source: CPython 3.11, Modules/_sre and Lib/re/_casefix.py.
 */

export interface Range {
  from: number
  to: number
}

/** `\d`, `\s`, `\w`; upper case: the complement. */
export type Category = 'd' | 'D' | 's' | 'S' | 'w' | 'W'

export interface CharacterSet {
  negated: boolean
  items: readonly (Range | Category)[]
}

const unicodeCategory = { d: /^\p{Nd}$/u, s: /^[\t-\r\p{Zs}\x85\u2028\u2029]$/u, w: /^[\p{L}\p{N}_]$/u }
const asciiCategory = { d: /^[0-9]$/, s: /^[\t-\r ]$/, w: /^[A-Za-z0-9_]$/ }

/** The separators of files, groups, records and units are spaces to Python. */
const isSeparator = (character: number) => character >= 0x1c && character <= 0x1f

export function inCategory(category: Category, character: number, ascii: boolean): boolean {
  const kind = category.toLowerCase() as 'd' | 's' | 'w'
  const text = String.fromCodePoint(character)
  const belongs = ascii
    ? asciiCategory[kind].test(text)
    : unicodeCategory[kind].test(text) || (kind === 's' && isSeparator(character))
  return belongs === (category === kind)
}

/** Simple lower case: one code point to one. */
export function lower(character: number, ascii: boolean): number {
  if (character < 128) return character >= 65 && character <= 90 ? character + 32 : character
  if (ascii) return character
  if (character === 0x130) return 0x69 // İ, the only one whose full lower case has two code points
  return String.fromCodePoint(character).toLowerCase().codePointAt(0)!
}

/** The last code point with a case, Adlam's small sha. */
const lastCased = 0x1e943

let variantsByUpper: Map<string, number[]> | undefined

/** Characters by what they are in upper case: those of one entry are equal under `(?i)`, such as s, S and ſ. */
function buildVariants(): Map<string, number[]> {
  const map = new Map<string, number[]>()
  for (let character = 0; character <= lastCased; character++) {
    const key = String.fromCodePoint(lower(character, false)).toUpperCase()
    const own = map.get(key)
    if (own === undefined) map.set(key, [character])
    else own.push(character)
  }
  return map
}

/** All characters that `(?i)` holds for equal to this one, itself among them. */
function caseVariants(character: number, ascii: boolean): readonly number[] {
  if (ascii) {
    const small = lower(character, true)
    return small >= 97 && small <= 122 ? [small, small - 32] : [character]
  }
  variantsByUpper ??= buildVariants()
  return variantsByUpper.get(String.fromCodePoint(lower(character, false)).toUpperCase()) ?? [character]
}

/** True when the set has the character. */
export function contains(set: CharacterSet, character: number, ignoreCase: boolean, ascii: boolean): boolean {
  const variants = ignoreCase ? caseVariants(character, ascii) : [character]
  const found = set.items.some((item) =>
    typeof item === 'string'
      ? inCategory(item, ignoreCase ? lower(character, ascii) : character, ascii)
      : variants.some((one) => one >= item.from && one <= item.to),
  )
  return found !== set.negated
}
