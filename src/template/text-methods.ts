/** Methods of str. */

import { clamp, flag, integer, position } from './arguments.js'
import { makeItems, makeText } from './budget.js'
import {
  isSpace,
  length,
  lowerEach,
  pointIndex,
  points,
  slice,
  spaceClass,
  splitLines,
  titleCase,
  trimEnd,
  trimStart,
} from './characters.js'
import { fail, unsupported } from './errors.js'
import { iterate } from './iterate.js'
import { type Native, native, table } from './native.js'
import { isText, Tuple, textOf, typeName, type Value } from './values.js'

const cased = /[\p{Lowercase}\p{Uppercase}\p{Lt}]/u
const upperOrTitle = /[\p{Uppercase}\p{Lt}]/u
const uppercase = /\p{Uppercase}/u
const lowercase = /\p{Lowercase}/u

export function capitalize(text: string): string {
  const [first = ''] = Array.from(text)
  return titleCase(first) + lowerEach(text).slice(1).join('')
}

function title(text: string): string {
  const lower = lowerEach(text)
  let within = false
  return Array.from(text, (c, i) => {
    const shown = within ? lower[i]! : titleCase(c)
    within = cased.test(c)
    return shown
  }).join('')
}

function caseFold(text: string): string {
  return Array.from(text, (c) => {
    const lower = c.toLowerCase()
    const upper = lower.toUpperCase()
    return lower === 'ς' ? 'σ' : Array.from(upper).length > 1 ? upper.toLowerCase() : lower
  }).join('')
}

function swapCase(text: string): string {
  const lower = lowerEach(text)
  return Array.from(text, (c, i) => (uppercase.test(c) ? lower[i]! : lowercase.test(c) ? c.toUpperCase() : c)).join('')
}

/** `text` without characters of `chars` (white space without it) at its start, its end or both. */
export function strip(text: string, chars: Value | undefined, sides: 'start' | 'end' | 'both'): string {
  if (chars === undefined || chars === null) {
    const begun = sides === 'end' ? text : trimStart(text)
    return sides === 'start' ? begun : trimEnd(begun)
  }
  const dropped = new Set(textOf(chars, 'strip'))
  const all = points(text)
  let begin = 0
  let end = all.length
  if (sides !== 'end') while (begin < end && dropped.has(all[begin]!)) ++begin
  if (sides !== 'start') while (end > begin && dropped.has(all[end - 1]!)) --end
  return slice(text, begin, end)
}

function split(text: string, separator: Value | undefined, most: Value | undefined): Value[] {
  const limit = integer(most, -1)
  const parts: string[] = []
  if (separator === undefined || separator === null) {
    let rest = trimStart(text)
    const gap = new RegExp(`[${spaceClass}]+`)
    while (rest !== '') {
      const found = limit >= 0 && parts.length >= limit ? null : gap.exec(rest)
      if (found === null) {
        parts.push(rest)
        break
      }
      parts.push(rest.slice(0, found.index))
      rest = rest.slice(found.index + found[0].length)
    }
    return parts
  }
  const by = textOf(separator, 'split')
  if (by === '') return fail('empty separator')
  let from = 0
  for (let at = text.indexOf(by); at >= 0 && (limit < 0 || parts.length < limit); at = text.indexOf(by, from)) {
    parts.push(text.slice(from, at))
    from = at + by.length
  }
  parts.push(text.slice(from))
  makeItems(parts.length)
  return parts
}

function splitFromEnd(text: string, separator: Value | undefined, most: Value | undefined): Value[] {
  const limit = integer(most, -1)
  if (limit < 0) return split(text, separator, undefined)
  const parts: string[] = []
  if (separator === undefined || separator === null) {
    const gap = new RegExp(`[${spaceClass}]+(?=[^${spaceClass}]*$)`)
    let rest = trimEnd(text)
    while (rest !== '') {
      const found = parts.length >= limit ? null : gap.exec(rest)
      const word = found === null ? rest : rest.slice(found.index + found[0].length)
      parts.unshift(word)
      if (found === null) break
      rest = rest.slice(0, found.index)
    }
    return parts
  }
  const by = textOf(separator, 'rsplit')
  if (by === '') return fail('empty separator')
  let end = text.length
  while (parts.length < limit) {
    const at = end - by.length < 0 ? -1 : text.lastIndexOf(by, end - by.length)
    if (at < 0) break
    parts.unshift(text.slice(at + by.length, end))
    end = at
  }
  parts.unshift(text.slice(0, end))
  return parts
}

export function replace(text: string, old: string, by: string, count: number): string {
  const parts: string[] = []
  if (count === 0) return text
  if (old === '') {
    const all = Array.from(text)
    const times = count < 0 ? all.length + 1 : Math.min(count, all.length + 1)
    makeText(text.length + times * by.length)
    return all.map((c, i) => (i < times ? by + c : c)).join('') + (times > all.length ? by : '')
  }
  let from = 0
  for (let at = text.indexOf(old); at >= 0 && (count < 0 || parts.length < count); at = text.indexOf(old, from)) {
    parts.push(text.slice(from, at))
    from = at + old.length
  }
  if (parts.length === 0) return text
  parts.push(text.slice(from))
  makeText(text.length + (parts.length - 1) * (by.length - old.length))
  return parts.join(by)
}

export function center(text: string, width: number, fill = ' '): string {
  const missing = Math.max(0, width - length(text))
  makeText(missing)
  const left = (missing >> 1) + (missing & width & 1)
  return fill.repeat(left) + text + fill.repeat(missing - left)
}

function fillCharacter(fill: Value | undefined): string {
  const character = fill === undefined ? ' ' : textOf(fill, 'fill')
  return length(character) === 1 ? character : fail('The fill character must be exactly one character long')
}

/** The part of `text` between two positions, and where it begins; null when the start lies behind the end of the text. */
function part(text: string, start: Value | undefined, end: Value | undefined): { text: string; at: number } | null {
  const count = length(text)
  const first = position(start, 0)
  const begin = clamp(first, count)
  const stop = clamp(position(end, count), count)
  if (first > count || begin > stop) return null
  return { text: slice(text, begin, stop), at: begin }
}

function find(text: string, sub: Value, start: Value | undefined, end: Value | undefined, last: boolean): number {
  const within = part(text, start, end)
  if (within === null) return -1
  const wanted = textOf(sub, 'find')
  const at = last ? within.text.lastIndexOf(wanted) : within.text.indexOf(wanted)
  return at < 0 ? -1 : within.at + pointIndex(within.text, at)
}

function count(text: string, sub: Value, start?: Value, end?: Value): number {
  const within = part(text, start, end)
  const wanted = textOf(sub, 'count')
  if (within === null) return 0
  return wanted === '' ? length(within.text) + 1 : within.text.split(wanted).length - 1
}

function affix(text: string, wanted: Value, start: Value | undefined, end: Value | undefined, atEnd: boolean): boolean {
  const options = wanted instanceof Tuple ? wanted.items : [wanted]
  const within = part(text, start, end)
  return options.some((option) => {
    if (!isText(option)) return fail(`expected a str or a tuple of str, not ${typeName(option)}`)
    const one = textOf(option, 'affix')
    return within !== null && (atEnd ? within.text.endsWith(one) : within.text.startsWith(one))
  })
}

function every(text: string, pattern: RegExp): boolean {
  return text !== '' && Array.from(text).every((c) => pattern.test(c))
}

function isTitle(text: string): boolean {
  let within = false
  let found = false
  for (const c of text) {
    if (upperOrTitle.test(c) ? within : lowercase.test(c) && !within) return false
    within = cased.test(c)
    found ||= within
  }
  return found
}

function expandTabs(text: string, size: number): string {
  let column = 0
  let result = ''
  for (const c of text) {
    if (c === '\t') {
      const spaces = size > 0 ? size - (column % size) : 0
      result += ' '.repeat(spaces)
      column += spaces
    } else {
      result += c
      column = c === '\n' || c === '\r' ? 0 : column + 1
    }
  }
  makeText(result.length)
  return result
}

function partition(text: string, separator: Value, last: boolean): Value {
  const by = textOf(separator, 'partition')
  if (by === '') return fail('empty separator')
  const at = last ? text.lastIndexOf(by) : text.indexOf(by)
  if (at < 0) return new Tuple(last ? ['', '', text] : [text, '', ''])
  return new Tuple([text.slice(0, at), by, text.slice(at + by.length)])
}

export function join(separator: string, items: Value): string {
  const parts: string[] = []
  for (const item of iterate(items)) {
    if (!isText(item)) return fail(`sequence item ${parts.length}: expected str instance, ${typeName(item)} found`)
    parts.push(textOf(item, 'join'))
  }
  makeText(parts.reduce((sum, text) => sum + text.length + separator.length, 0))
  return parts.join(separator)
}

function zeroFill(text: string, width: number): string {
  const missing = Math.max(0, width - length(text))
  makeText(missing)
  const sign = /^[-+]/.exec(text)?.[0] ?? ''
  return sign + '0'.repeat(missing) + text.slice(sign.length)
}

const unknown = (name: string): Native => native(name, '*', () => unsupported(`str.${name}`))

/** What format() and format_map() do lies with the attributes that they look up. */
export const textMethods = table(
  native('capitalize', '/', (s: string) => capitalize(s)),
  native('casefold', '/', caseFold),
  native('center', '/width fill?', (s: string, width: Value, fill?: Value) =>
    center(s, integer(width, 0), fillCharacter(fill)),
  ),
  native('count', '/sub start? end?', count),
  unknown('encode'),
  native('endswith', '/suffix start? end?', (s: string, a: Value, b?: Value, c?: Value) => affix(s, a, b, c, true)),
  native('expandtabs', 'tabsize?', (s: string, size?: Value) => expandTabs(s, integer(size, 8))),
  native('find', '/sub start? end?', (s: string, a: Value, b?: Value, c?: Value) => find(s, a, b, c, false)),
  native('index', '/sub start? end?', (s: string, a: Value, b?: Value, c?: Value) => {
    const at = find(s, a, b, c, false)
    return at < 0 ? fail('substring not found') : at
  }),
  native('isalnum', '/', (s: string) => every(s, /[\p{L}\p{N}]/u)),
  native('isalpha', '/', (s: string) => every(s, /\p{L}/u)),
  native('isascii', '/', (s: string) => /^[\0-\x7f]*$/.test(s)),
  native('isdecimal', '/', (s: string) => every(s, /\p{Nd}/u)),
  native('isdigit', '/', (s: string) => every(s, /[\p{Nd}²³¹⁰⁴-⁹₀-₉①-⑨⑴-⑼⒈-⒐⓪⓵-⓽⓿❶-❾➀-➈➊-➒]/u)),
  native('isidentifier', '/', (s: string) => /^[\p{ID_Start}_]\p{ID_Continue}*$/u.test(s)),
  native('islower', '/', (s: string) => lowercase.test(s) && !upperOrTitle.test(s)),
  native('isnumeric', '/', (s: string) => every(s, /\p{N}/u)),
  native('isprintable', '/', (s: string) => !/[\p{C}\p{Z}]/u.test(s.replaceAll(' ', ''))),
  native('isspace', '/', (s: string) => isSpace(s)),
  native('istitle', '/', (s: string) => isTitle(s)),
  native('isupper', '/', (s: string) => uppercase.test(s) && !/[\p{Lowercase}\p{Lt}]/u.test(s)),
  native('join', '/iterable', join),
  native('ljust', '/width fill?', (s: string, width: Value, fill?: Value) => {
    const missing = Math.max(0, integer(width, 0) - length(s))
    makeText(missing)
    return s + fillCharacter(fill).repeat(missing)
  }),
  native('lower', '/', (s: string) => s.toLowerCase()),
  native('lstrip', '/chars?', (s: string, chars?: Value) => strip(s, chars, 'start')),
  unknown('maketrans'),
  native('partition', '/separator', (s: string, separator: Value) => partition(s, separator, false)),
  native('removeprefix', '/prefix', (s: string, prefix: Value) => {
    const text = textOf(prefix, 'removeprefix')
    return s.startsWith(text) ? s.slice(text.length) : s
  }),
  native('removesuffix', '/suffix', (s: string, suffix: Value) => {
    const text = textOf(suffix, 'removesuffix')
    return text !== '' && s.endsWith(text) ? s.slice(0, -text.length) : s
  }),
  native('replace', '/old new count?', (s: string, old: Value, by: Value, times?: Value) =>
    replace(s, textOf(old, 'replace'), textOf(by, 'replace'), integer(times, -1)),
  ),
  native('rfind', '/sub start? end?', (s: string, a: Value, b?: Value, c?: Value) => find(s, a, b, c, true)),
  native('rindex', '/sub start? end?', (s: string, a: Value, b?: Value, c?: Value) => {
    const at = find(s, a, b, c, true)
    return at < 0 ? fail('substring not found') : at
  }),
  native('rjust', '/width fill?', (s: string, width: Value, fill?: Value) => {
    const missing = Math.max(0, integer(width, 0) - length(s))
    makeText(missing)
    return fillCharacter(fill).repeat(missing) + s
  }),
  native('rpartition', '/separator', (s: string, separator: Value) => partition(s, separator, true)),
  native('rsplit', 'sep? maxsplit?', splitFromEnd),
  native('rstrip', '/chars?', (s: string, chars?: Value) => strip(s, chars, 'end')),
  native('split', 'sep? maxsplit?', split),
  native('splitlines', 'keepends?', (s: string, keep?: Value) => splitLines(s, flag(keep, false))),
  native('startswith', '/prefix start? end?', (s: string, a: Value, b?: Value, c?: Value) => affix(s, a, b, c, false)),
  native('strip', '/chars?', (s: string, chars?: Value) => strip(s, chars, 'both')),
  native('swapcase', '/', swapCase),
  native('title', '/', (s: string) => title(s)),
  unknown('translate'),
  native('upper', '/', (s: string) => s.toUpperCase()),
  native('zfill', '/width', (s: string, width: Value) => zeroFill(s, integer(width, 0))),
)
