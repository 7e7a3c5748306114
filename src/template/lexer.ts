/**
 * Template text to tokens, as Jinja's lexer does with trim_blocks and lstrip_blocks: a line break after a block or comment is dropped,
 * white space between a line's start and a block or comment is dropped, `-` drops all white space on its side, `+` keeps it.
 */

import { Float } from '../files/exact-json.js'
import { isSpace, spaceClass, trimEnd } from './characters.js'
import { TemplateError } from './errors.js'
import type { Value } from './values.js'

/** `data`, `block_begin`, `block_end`, `variable_begin`, `variable_end`, `name`, `string`, `number`, `eof`, or an operator itself. */
export interface Token {
  readonly type: string
  readonly value: Value
  readonly line: number
}

const S = `[${spaceClass}]`
const rawBegin = new RegExp(`\\{%([-+]?)${S}*raw${S}*(?:-%\\}${S}*|%\\})`, 'y')
const rawEnd = new RegExp(`\\{%([-+]?)${S}*endraw${S}*(?:\\+%\\}|-%\\}${S}*|%\\}\\n?)`, 'g')
const commentEnd = new RegExp(`\\+#\\}|-#\\}${S}*|#\\}\\n?`, 'g')
const blockEnd = new RegExp(`\\+%\\}|-%\\}${S}*|%\\}\\n?`, 'y')
const variableEnd = new RegExp(`-\\}\\}${S}*|\\}\\}`, 'y')
const spaces = new RegExp(`${S}+`, 'y')
const float = /(?<!\.)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy
const integer = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy
const word = /[\p{L}\p{M}\p{N}\p{Pc}\u00b7\u0387\u1369-\u1371\u19da]+/uy
const identifier = /^[\p{ID_Start}_]\p{ID_Continue}*$/u
const string = /'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"/sy
const operator = /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}><=.:|,;]/y
/** In the order in which they are tried. */
const lexemes = [
  ['float', float],
  ['integer', integer],
  ['name', word],
  ['string', string],
  ['operator', operator],
] as const
const closing = new Map([
  ['(', ')'],
  ['[', ']'],
  ['{', '}'],
])

function syntax(message: string, line: number): never {
  throw new TemplateError('syntax', message, line)
}

const escapes: Record<string, string> = {
  '\n': '',
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
}

/** The text of a literal: Python's unicode-escape over text whose other characters are escaped first. */
function unescaped(literal: string, line: number): string {
  const ascii = literal.replace(/[^\0-\x7f]/gu, (c) => {
    const code = c.codePointAt(0)!
    if (code < 0x100) return `\\x${code.toString(16)}`
    return code < 0x10000 ? `\\u${code.toString(16).padStart(4, '0')}` : `\\U${code.toString(16).padStart(8, '0')}`
  })
  return ascii.replace(/\\(?:([0-7]{1,3})|x(.{0,2})|u(.{0,4})|U(.{0,8})|(.))/gs, (all, octal, x, u, long, single) => {
    if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8))
    const hex = x ?? u ?? long
    if (hex !== undefined) {
      const code = Number.parseInt(hex, 16)
      const complete = /^[\da-f]+$/i.test(hex) && all.length === (x !== undefined ? 4 : u !== undefined ? 6 : 10)
      if (!complete || code > 0x10ffff) syntax(`truncated escape ${JSON.stringify(all)} in a string`, line)
      return String.fromCodePoint(code)
    }
    if (single === 'N') throw new TemplateError('unsupported', '\\N{name} in a string is not supported', line)
    return escapes[single] ?? all
  })
}

function number(text: string): Value {
  const value = BigInt(text)
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value
}

class Lexer {
  readonly #source: string
  readonly #tokens: Token[] = []
  #at = 0
  #line = 1
  /** Whether what was read last ended a line. */
  #lineStarts = true

  constructor(source: string) {
    const text = source.replace(/\r\n?/g, '\n')
    this.#source = text.endsWith('\n') ? text.slice(0, -1) : text
  }

  #add(type: string, value: Value): void {
    this.#tokens.push({ type, value, line: this.#line })
  }

  /** What `pattern` matches here, or null; moves past it. */
  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#source)
    if (found === null) return null
    this.#moveTo(pattern.lastIndex)
    return found[0]
  }

  #moveTo(end: number): void {
    for (let i = this.#at; i < end; ++i) if (this.#source.charCodeAt(i) === 10) ++this.#line
    this.#at = end
    if (end > 0) this.#lineStarts = this.#source[end - 1] === '\n'
  }

  /** Text before a tag of this sign, without the white space that the tag takes. */
  #data(text: string, sign: string, strips: boolean): void {
    let data = text
    if (sign === '-') data = trimEnd(text)
    else if (sign !== '+' && strips) {
      const begin = text.lastIndexOf('\n') + 1
      if ((begin > 0 || this.#lineStarts) && isSpace(text.slice(begin))) data = text.slice(0, begin)
    }
    if (data !== '') this.#add('data', data)
  }

  run(): Token[] {
    const tag = /\{[{%#]/g
    for (;;) {
      tag.lastIndex = this.#at
      const found = tag.exec(this.#source)
      if (found === null) break
      const text = this.#source.slice(this.#at, found.index)
      rawBegin.lastIndex = found.index
      const raw = rawBegin.exec(this.#source)
      const after = this.#source[found.index + 2]
      const sign = raw !== null ? raw[1]! : after === '-' || after === '+' ? after : ''
      this.#data(text, sign, found[0] !== '{{')
      if (raw !== null) this.#raw(rawBegin.lastIndex)
      else {
        this.#moveTo(found.index + 2 + sign.length)
        if (found[0] === '{#') this.#comment()
        else this.#tag(found[0] === '{{' ? 'variable' : 'block')
      }
    }
    if (this.#at < this.#source.length) this.#add('data', this.#source.slice(this.#at))
    this.#moveTo(this.#source.length)
    this.#add('eof', '')
    return this.#tokens
  }

  #raw(begin: number): void {
    this.#moveTo(begin)
    rawEnd.lastIndex = begin
    // A tag that the template ends with is closed by that.
    if (begin === this.#source.length) return
    const end = rawEnd.exec(this.#source)
    if (end === null) syntax('raw without endraw', this.#line)
    this.#data(this.#source.slice(begin, end.index), end[1]!, true)
    this.#moveTo(rawEnd.lastIndex)
  }

  #comment(): void {
    if (this.#at < this.#source.length && this.#match(commentEnd) === null)
      syntax('a comment without its end', this.#line)
  }

  #tag(kind: 'variable' | 'block'): void {
    this.#add(`${kind}_begin`, '')
    const end = kind === 'variable' ? variableEnd : blockEnd
    const open: string[] = []
    for (;;) {
      const line = this.#line
      if (open.length === 0 && this.#match(end) !== null) {
        this.#tokens.push({ type: `${kind}_end`, value: '', line })
        return
      }
      if (this.#match(spaces) !== null) continue
      const token = this.#lexeme()
      if (token === null) {
        if (this.#at < this.#source.length) {
          syntax(`unexpected character '${String.fromCodePoint(this.#source.codePointAt(this.#at)!)}'`, line)
        }
        return
      }
      this.#tokens.push({ ...token, line })
      const close = closing.get(token.type)
      if (close !== undefined) open.push(close)
      else if (token.type === ')' || token.type === ']' || token.type === '}') {
        const expected = open.pop()
        if (expected !== token.type)
          syntax(`unexpected '${token.type}'${expected ? `, expected '${expected}'` : ''}`, line)
      }
    }
  }

  /** The next token within a tag; null when nothing fits. */
  #lexeme(): { type: string; value: Value } | null {
    const line = this.#line
    for (const [type, pattern] of lexemes) {
      const text = this.#match(pattern)
      if (text === null) continue
      switch (type) {
        case 'float': {
          const value = Number(text.replaceAll('_', ''))
          return { type: 'number', value: Number.isInteger(value) ? new Float(value) : value }
        }
        case 'integer':
          return { type: 'number', value: number(text.replaceAll('_', '').toLowerCase()) }
        case 'name':
          return identifier.test(text) ? { type, value: text } : syntax(`'${text}' is no name`, line)
        case 'string':
          return { type, value: unescaped(text.slice(1, -1), line) }
        default:
          return { type: text, value: text }
      }
    }
    return null
  }
}

export function tokenize(source: string): Token[] {
  return new Lexer(source).run()
}
