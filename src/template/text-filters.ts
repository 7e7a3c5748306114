/** Filters over text and numbers, and tojson. */

import { flag, float, integer } from './arguments.js'
import { makeInteger, makeText } from './budget.js'
import { length, slice, spaceClass, splitLines } from './characters.js'
import { fail, unsupported } from './errors.js'
import { scaled } from './format-number.js'
import { formatPercent, truncated } from './format-percent.js'
import { list, size } from './iterate.js'
import { type Native, native, table } from './native.js'
import { isFloat, isInt, isNumber, makeFloat, makeInt, toNumber } from './numbers.js'
import { escapeMarkup, str, toJson } from './print.js'
import { capitalize, center, replace, strip } from './text-methods.js'
import {
  Dict,
  Float,
  isText,
  Markup,
  type Named,
  Tuple,
  textOf,
  truth,
  typeName,
  Undefined,
  type Value,
} from './values.js'

/** A filter of text that keeps Markup as it is. */
function onText(name: string, signature: string, body: (text: string, ...args: Value[]) => string): Native {
  return native(name, signature, (value: Value, ...args: Value[]) => {
    const result = body(str(value), ...args)
    return value instanceof Markup ? new Markup(result) : result
  })
}

const wordBeginning = new RegExp(`([-${spaceClass}({[<]+)`)

function title(text: string): string {
  return text
    .split(wordBeginning)
    .map((word) => {
      const [first = '', ...rest] = Array.from(word)
      return first.toUpperCase() + rest.join('').toLowerCase()
    })
    .join('')
}

function indent(value: Value, width: Value, first: boolean, blank: boolean): Value {
  if (!isText(value))
    return value instanceof Undefined ? value.fail() : fail(`indent: expected a str, got ${typeName(value)}`)
  const space = isText(width) ? textOf(width, 'indent') : ' '.repeat(Math.max(0, integer(width, 4)))
  const lines = splitLines(`${textOf(value, 'indent')}\n`)
  makeText(lines.length * space.length)
  const inner = lines.map((line, i) => (i > 0 && (blank || line !== '') ? space + line : line)).join('\n')
  const result = first ? space + inner : inner
  return value instanceof Markup ? new Markup(result) : result
}

function truncate(value: Value, most: number, killWords: boolean, end: string, leeway: number): Value {
  if (most < length(end)) return fail(`expected length >= ${length(end)}, got ${most}`)
  if (leeway < 0) return fail(`expected leeway >= 0, got ${leeway}`)
  const has = size(value) ?? fail(`object of type '${typeName(value)}' has no len()`)
  if (has <= most + leeway) return value
  const kept = slice(textOf(value, 'truncate'), 0, most - length(end))
  const space = kept.lastIndexOf(' ')
  return (killWords || space < 0 ? kept : kept.slice(0, space)) + end
}

/** Decimal digits of every script as those of ASCII: they come in runs of ten. */
function asciiDigits(text: string): string {
  return text.replace(/(?![0-9])\p{Nd}/gu, (c) => {
    const code = c.codePointAt(0)!
    let first = code
    while (/\p{Nd}/u.test(String.fromCodePoint(first - 1))) --first
    return String((code - first) % 10)
  })
}

/** int(text, base): white space around, a sign, underscores between digits. */
function readInteger(text: string, base: number): bigint | undefined {
  makeInteger(text.length * 4)
  const plain = asciiDigits(strip(text, undefined, 'both'))
  const [, sign, prefix, digits] = /^([-+]?)(0[xob]_?)?([\da-z]+(?:_[\da-z]+)*)$/i.exec(plain) ?? []
  if (digits === undefined) return undefined
  const prefixed = { x: 16, o: 8, b: 2 }[prefix?.[1]?.toLowerCase() ?? ''] ?? 0
  if (base !== 0 && prefixed !== 0 && prefixed !== base) {
    // '0b1' in base 16 is a number of the digits 0, b and 1.
    return base > 11 ? readInteger(`${sign}${prefix!.replace('0', '')}${digits}`, base) : undefined
  }
  const radix = base === 0 ? prefixed || 10 : base
  let value = 0n
  for (const digit of digits.replaceAll('_', '')) {
    const worth = Number.parseInt(digit, 36)
    if (worth >= radix) return undefined
    value = value * BigInt(radix) + BigInt(worth)
  }
  if (base === 0 && prefixed === 0 && digits.startsWith('0') && value !== 0n) return undefined
  return sign === '-' ? -value : value
}

/** float(text) */
function readFloat(text: string): number | undefined {
  makeInteger(text.length * 4)
  const plain = asciiDigits(strip(text, undefined, 'both')).toLowerCase()
  if (/^[-+]?(inf|infinity)$/.test(plain)) return plain.startsWith('-') ? -Infinity : Infinity
  if (/^[-+]?nan$/.test(plain)) return NaN
  const shape = /^[-+]?(?:\d+(?:_\d+)*\.?(?:\d+(?:_\d+)*)?|\.\d+(?:_\d+)*)(?:e[-+]?\d+(?:_\d+)*)?$/
  return shape.test(plain) ? Number(plain.replaceAll('_', '')) : undefined
}

function toInt(value: Value, fallback: Value, base: number): Value {
  if (value instanceof Undefined) return value.fail()
  if (isText(value)) {
    const text = textOf(value, 'int')
    const whole = readInteger(text, base)
    if (whole !== undefined) return makeInt(whole)
    const float = readFloat(text)
    return float === undefined || !Number.isFinite(float) ? fallback : makeInt(truncated(float))
  }
  if (isInt(value)) return makeInt(BigInt(value))
  if (!isFloat(value)) return fallback
  const float = toNumber(value)
  // int(inf) raises OverflowError, which the filter does not catch at first.
  if (float === Infinity || float === -Infinity) return fail('cannot convert float infinity to integer')
  return Number.isNaN(float) ? fallback : makeInt(truncated(float))
}

function toFloat(value: Value, fallback: Value): Value {
  if (value instanceof Undefined) return value.fail()
  if (isText(value)) {
    const float = readFloat(textOf(value, 'float'))
    return float === undefined ? fallback : makeFloat(float)
  }
  return isNumber(value) ? makeFloat(toNumber(value)) : fallback
}

/** round(value, precision) of a float. */
function roundTo(value: number, precision: number): number {
  if (!Number.isFinite(value) || precision > 400) return value
  if (precision < -400) return 0
  return Number(`${scaled(Math.abs(value), precision)}e${-precision}`) * Math.sign(value)
}

function round(value: Value, precision: number, method: Value): Value {
  if (method !== 'common' && method !== 'ceil' && method !== 'floor')
    return fail('method must be common, ceil or floor')
  if (value instanceof Undefined) return value.fail()
  if (!isNumber(value)) return fail(`type ${typeName(value)} doesn't define __round__ method`)
  if (method === 'common') {
    if (isInt(value)) {
      if (precision >= 0) return makeInt(BigInt(value))
      const unit = 10n ** BigInt(-precision)
      const rest = ((BigInt(value) % unit) + unit) % unit
      const floor = BigInt(value) - rest
      const up = rest * 2n > unit || (rest * 2n === unit && (floor / unit) % 2n !== 0n)
      return makeInt(up ? floor + unit : floor)
    }
    const rounded = roundTo(toNumber(value), precision)
    return makeFloat(rounded)
  }
  if (isInt(value) && precision >= 0) return makeFloat(Number(value))
  const unit = 10 ** precision
  const scaled = toNumber(value) * unit
  const whole = method === 'ceil' ? Math.ceil(scaled) : Math.floor(scaled)
  return makeFloat((whole + 0) / unit)
}

function absolute(value: Value): Value {
  if (isInt(value)) return makeInt(BigInt(value) < 0n ? -BigInt(value) : BigInt(value))
  return makeFloat(Math.abs(float(value)))
}

function json(value: Value, ascii: boolean, indentation: Value, separators: Value, sortKeys: boolean): string {
  let indent: string | null = null
  if (isText(indentation)) indent = textOf(indentation, 'indent')
  else if (indentation !== null) indent = ' '.repeat(Math.max(0, integer(indentation, 0)))
  let [itemSeparator, keySeparator] = [indent === null ? ', ' : ',', ': ']
  if (separators !== null) {
    const pair = list(separators)
    if (pair.length !== 2) return fail('separators: expected two texts')
    ;[itemSeparator, keySeparator] = [textOf(pair[0]!, 'separators'), textOf(pair[1]!, 'separators')]
  }
  return toJson(value, { ensureAscii: ascii, indent, itemSeparator, keySeparator, sortKeys })
}

function fileSize(value: Value, isBinary: boolean): string {
  const bytes = float(toFloat(value, null))
  const base = isBinary ? 1024 : 1000
  const units = ['k', 'M', 'G', 'T', 'P', 'E', 'Z', 'Y'].map((c) => (isBinary ? `${c.toUpperCase()}iB` : `${c}B`))
  if (bytes === 1) return '1 Byte'
  if (bytes < base) return `${Math.trunc(bytes)} Bytes`
  const at = units.findIndex((_, i) => bytes < base ** (i + 2))
  const i = at < 0 ? units.length - 1 : at
  return `${((base * bytes) / base ** (i + 2)).toFixed(1)} ${units[i]}`
}

function urlEncode(value: Value): string {
  const quote = (text: string, query: boolean) => {
    const encoded = encodeURIComponent(text).replace(
      /[!'()*]/g,
      (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
    )
    return query ? encoded.replaceAll('%20', '+') : encoded.replaceAll('%2F', '/')
  }
  if (isText(value) || !(value instanceof Dict || Array.isArray(value) || value instanceof Tuple))
    return quote(str(value), false)
  const pairs = value instanceof Dict ? [...value.entries()] : list(value).map((pair) => list(pair))
  return pairs
    .map(([key, item, ...more]) => {
      if (key === undefined || item === undefined || more.length > 0) return fail('urlencode: expected pairs')
      return `${quote(str(key), true)}=${quote(str(item), true)}`
    })
    .join('&')
}

const refused = ['forceescape', 'pprint', 'random', 'striptags', 'urlize', 'wordwrap', 'xmlattr']

export const textFilters = table(
  ...refused.map((name) => native(name, '*', () => unsupported(`the filter '${name}'`))),
  native('abs', '/', absolute),
  onText('capitalize', '', capitalize),
  onText('center', 'width?', (text, width) => center(text, integer(width, 80))),
  ...['d', 'default'].map((name) =>
    native(name, 'default_value? boolean?', (value: Value, fallback: Value = '', boolean?: Value) =>
      value instanceof Undefined || (flag(boolean, false) && !truth(value)) ? fallback : value,
    ),
  ),
  ...['e', 'escape'].map((name) => native(name, '/', (value: Value) => new Markup(escapeMarkup(value)))),
  native('filesizeformat', 'binary?', (value: Value, isBinary?: Value) => fileSize(value, flag(isBinary, false))),
  native('float', 'default?', (value: Value, fallback: Value = new Float(0)) => toFloat(value, fallback)),
  native('indent', 'width? first? blank?', (value: Value, width: Value = 4, first?: Value, blank?: Value) =>
    indent(value, width, flag(first, false), flag(blank, false)),
  ),
  native('int', 'default? base?', (value: Value, fallback: Value = 0, base?: Value) =>
    toInt(value, fallback, integer(base, 10)),
  ),
  onText('lower', '', (text) => text.toLowerCase()),
  native('replace', 'old new count?', (value: Value, old: Value, by: Value, count: Value = null) =>
    replace(str(value), str(old), str(by), count === null ? -1 : integer(count, -1)),
  ),
  native('round', 'precision? method?', (value: Value, precision?: Value, method: Value = 'common') =>
    round(value, integer(precision, 0), method),
  ),
  native('safe', '', (value: Value) => new Markup(str(value))),
  native('string', '/', (value: Value) => (isText(value) ? value : str(value))),
  onText('title', '', title),
  native(
    'tojson',
    'ensure_ascii? indent? separators? sort_keys?',
    (value: Value, ascii?: Value, indentation: Value = null, separators: Value = null, sortKeys?: Value) =>
      json(value, flag(ascii, false), indentation, separators, flag(sortKeys, false)),
  ),
  onText('trim', 'chars?', (text, chars) => strip(text, chars, 'both')),
  native(
    'truncate',
    'length? killwords? end? leeway?',
    (value: Value, size?: Value, kill?: Value, end: Value = '...', leeway: Value = null) =>
      truncate(
        value,
        integer(size, 255),
        flag(kill, false),
        textOf(end, 'truncate'),
        leeway === null ? 5 : integer(leeway, 5),
      ),
  ),
  onText('upper', '', (text) => text.toUpperCase()),
  native('urlencode', '', urlEncode),
  native('wordcount', '', (value: Value) => str(value).match(/[\p{L}\p{N}_]+/gu)?.length ?? 0),
  {
    name: 'format',
    invoke(value, args, named: Named) {
      if (args.length > 0 && named !== null)
        return fail("can't handle positional and keyword arguments at the same time")
      const mapping = new Dict()
      for (const [key, item] of named ?? []) mapping.set(key, item)
      const text = isText(value!) ? value! : str(value!)
      return formatPercent(text, named === null ? new Tuple([...args]) : mapping)
    },
  },
)
