/** Values as text: str(), repr() and json.dumps(). */

import { floatText } from '../files/exact-json.js'
import { checkText, makeText, step } from './budget.js'
import { compareText } from './characters.js'
import { fail, unsupported } from './errors.js'
import {
  Dict,
  Float,
  Loop,
  Macro,
  Markup,
  Namespace,
  Range,
  Tuple,
  typeName,
  Undefined,
  type Value,
  View,
} from './values.js'

/** Digits that Python is willing to write of one integer. */
const maxDigits = 4300
const maxNesting = 200

/** What an expression prints. */
export function str(value: Value): string {
  if (typeof value === 'string') return value
  if (value instanceof Markup) return value.text
  if (value instanceof Undefined) return ''
  return repr(value)
}

function integerText(value: number | bigint): string {
  const text = String(value)
  return text.length > maxDigits ? fail(`an integer of more than ${maxDigits} digits`) : text
}

const quoteAsIs = /^[\x20-\x26\x28-\x5b\x5d-\x7e]*$/
/** What str.isprintable() refuses, and what quoting needs. */
const escaped = /[\\'"]|[\p{C}\p{Z}]/gu

function quoted(text: string): string {
  if (quoteAsIs.test(text)) return `'${text}'`
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'"
  const inner = text.replace(escaped, (c) => {
    if (c === '\\') return '\\\\'
    if (c === "'" || c === '"') return c === quote ? `\\${c}` : c
    if (c === ' ') return c
    if (c === '\n') return '\\n'
    if (c === '\r') return '\\r'
    if (c === '\t') return '\\t'
    const code = c.codePointAt(0)!
    if (code < 0x100) return `\\x${code.toString(16).padStart(2, '0')}`
    return code < 0x10000 ? `\\u${code.toString(16).padStart(4, '0')}` : `\\U${code.toString(16).padStart(8, '0')}`
  })
  return quote + inner + quote
}

export function repr(value: Value, nesting = 0): string {
  if (value === null) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (typeof value === 'number') return Number.isInteger(value) ? integerText(value) : floatText(value)
  if (typeof value === 'bigint') return integerText(value)
  if (typeof value === 'string') return quoted(value)
  if (value instanceof Float) return floatText(value.value)
  step()
  if (nesting > maxNesting) return fail('values within each other too deep to print')
  const items = (list: Iterable<Value>) => {
    let text = ''
    for (const item of list) {
      text += (text === '' ? '' : ', ') + repr(item, nesting + 1)
      checkText(text.length)
    }
    return text
  }
  if (Array.isArray(value)) return `[${items(value)}]`
  if (value instanceof Tuple) return value.items.length === 1 ? `(${items(value.items)},)` : `(${items(value.items)})`
  if (value instanceof Dict) return dictText(value, nesting)
  if (value instanceof View) return `dict_${value.kind}([${items(value)}])`
  if (value instanceof Range) {
    return `range(${value.start}, ${value.stop}${value.step === 1 ? '' : `, ${value.step}`})`
  }
  if (value instanceof Markup) return `Markup(${quoted(value.text)})`
  if (value instanceof Undefined) return 'Undefined'
  if (value instanceof Namespace) return `<Namespace ${dictText(value.attributes, nesting)}>`
  if (value instanceof Loop) return `<LoopContext ${value.state.attribute('index')}/${value.state.length()}>`
  if (value instanceof Macro) return `<Macro ${value.name === '' ? 'anonymous' : quoted(value.name)}>`
  return unsupported(`printing a ${typeName(value)}, which Python prints with its address,`)
}

function dictText(dict: Dict, nesting: number): string {
  let text = ''
  for (const [key, value] of dict.entries()) {
    text += `${text === '' ? '' : ', '}${repr(key, nesting + 1)}: ${repr(value, nesting + 1)}`
    checkText(text.length)
  }
  return `{${text}}`
}

export interface JsonOptions {
  ensureAscii?: boolean
  /** Null: all on one line. */
  indent?: string | null
  itemSeparator: string
  keySeparator: string
  sortKeys?: boolean
}

const nonAscii = /[^\0-\x7e]/g
const loneSurrogate = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/
// biome-ignore lint/suspicious/noControlCharactersInRegex: what JSON escapes
const jsonEscapes = /[\0-\x1f"\\]/g
const controls: Record<string, string> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\f': '\\f',
  '\b': '\\b',
}

function jsonText(text: string, ascii: boolean): string {
  const hex = (c: string) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`
  // JSON.stringify escapes what Python does and, unlike Python, surrogates that stand alone.
  const plain = loneSurrogate.test(text)
    ? `"${text.replace(jsonEscapes, (c) => controls[c] ?? hex(c))}"`
    : JSON.stringify(text)
  return ascii ? plain.replace(nonAscii, hex) : plain
}

function jsonNumber(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  if (!Number.isFinite(value)) return value > 0 ? 'Infinity' : '-Infinity'
  return floatText(value)
}

function jsonKey(key: Value): string {
  if (typeof key === 'string') return key
  if (key instanceof Markup) return key.text
  if (key === null) return 'null'
  if (typeof key === 'boolean') return String(key)
  if (typeof key === 'bigint') return integerText(key)
  if (typeof key === 'number') return Number.isInteger(key) ? integerText(key) : jsonNumber(key)
  if (key instanceof Float) return floatText(key.value)
  return fail(`keys must be str, int, float, bool or None, not ${typeName(key)}`)
}

/** json.dumps(value). */
export function toJson(value: Value, options: JsonOptions, nesting = 0): string {
  const ascii = options.ensureAscii === true
  if (typeof value === 'string') return jsonText(value, ascii)
  if (value === null) return 'null'
  if (typeof value === 'boolean') return String(value)
  if (typeof value === 'bigint') return integerText(value)
  if (typeof value === 'number') return Number.isInteger(value) ? integerText(value) : jsonNumber(value)
  if (value instanceof Float) return jsonNumber(value.value)
  if (value instanceof Markup) return jsonText(value.text, ascii)
  step()
  if (nesting > maxNesting) return fail('values within each other too deep for JSON')
  const indent = options.indent ?? null
  const wrap = (open: string, parts: string[], close: string) => {
    if (parts.length === 0) return open + close
    if (indent === null) return open + parts.join(options.itemSeparator) + close
    const line = `\n${indent.repeat(nesting + 1)}`
    const text = `${open}${line}${parts.join(options.itemSeparator + line)}\n${indent.repeat(nesting)}${close}`
    checkText(text.length)
    return text
  }
  if (Array.isArray(value) || value instanceof Tuple) {
    const items = Array.isArray(value) ? value : value.items
    return wrap(
      '[',
      items.map((item) => toJson(item, options, nesting + 1)),
      ']',
    )
  }
  if (value instanceof Dict) {
    let entries = [...value.entries()]
    if (options.sortKeys) entries = sortedEntries(entries)
    const parts = entries.map(
      ([key, item]) => jsonText(jsonKey(key), ascii) + options.keySeparator + toJson(item, options, nesting + 1),
    )
    return wrap('{', parts, '}')
  }
  return fail(`Object of type ${typeName(value)} is not JSON serializable`)
}

function sortedEntries(entries: [Value, Value][]): [Value, Value][] {
  if (entries.every(([key]) => typeof key === 'string')) {
    return entries.sort(([a], [b]) => compareText(a as string, b as string))
  }
  const isNumber = (key: Value) => ['number', 'bigint', 'boolean'].includes(typeof key) || key instanceof Float
  if (entries.length < 2 || entries.every(([key]) => isNumber(key))) {
    return entries.sort(([a], [b]) => Number(a) - Number(b))
  }
  return fail('keys of different types cannot be sorted')
}

/** The text of `value` with HTML's characters escaped; Markup is escaped already. */
export function escapeMarkup(value: Value): string {
  if (value instanceof Markup) return value.text
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&#34;', "'": '&#39;' }
  return str(value).replace(/[&<>"']/g, (c) => entities[c]!)
}

/** `a ~ b`: what both print. */
export function concat(values: readonly Value[]): string {
  let text = ''
  for (const value of values) text += str(value)
  makeText(text.length)
  return text
}
