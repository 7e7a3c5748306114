/**
 * Reads a regular expression as Python 3.11's `re` does, and refuses what it refuses. Source: Lib/re/_parser.py; the grammar is in
 * docs.python.org/3.11/library/re.html.
 */
import { FedloraError } from '../../errors.js'
import type { Category, CharacterSet, Range } from './characters.js'
import { flag, type Node, type Sequence, type Tree, widthOf } from './syntax.js'

type Width = readonly [number, number]

const controls: Readonly<Record<string, number>> = { a: 7, b: 8, f: 12, n: 10, r: 13, t: 9, v: 11, '\\': 92 }
const categories = 'dDsSwW'
const positions = 'AZbB'
const hexDigits: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 }
/** Python's MAXREPEAT. */
const mostRepeats = 4294967295

const isDigit = (token = '') => /^[0-9]$/.test(token)
const isOctal = (token = '') => /^[0-7]$/.test(token)
const isIdentifier = (name: string) => /^[\p{ID_Start}_]\p{ID_Continue}*$/u.test(name)
const literal = (character: number): Range => ({ from: character, to: character })
const characterOf = (...items: (Range | Category)[]): Node => ({ kind: 'character', set: { negated: false, items } })

class Parser {
  readonly #characters: string[]
  #at = 0
  #flags = 0
  readonly #names = new Map<string, number>()
  /** Widths of the groups; undefined while one is open. Index 0 is the whole. */
  readonly #widths: (Width | undefined)[] = [undefined]
  /** Groups there were where the outermost look-behind began. */
  #behind: number | undefined
  #lastConditional = { group: 0, at: 0 }

  constructor(
    readonly pattern: string,
    readonly what: string,
  ) {
    this.#characters = Array.from(pattern)
    if (/(?:^|[^\\])(?:\\\\)*\\$/.test(pattern)) this.#fail('a backslash at the end', this.#characters.length - 1)
  }

  parse(): Tree {
    const body = this.#branches(false, true)
    if (this.#next !== undefined) this.#fail('a closing parenthesis without an opening one')
    if (this.#flags & flag.a && this.#flags & flag.u) this.#fail('flags a and u exclude each other', 0)
    if (this.#lastConditional.group >= this.#widths.length) {
      this.#fail(`no group ${this.#lastConditional.group}`, this.#lastConditional.at)
    }
    return { body, flags: this.#flags, names: this.#names, groups: this.#widths.length - 1 }
  }

  #fail(why: string, at = this.#at): never {
    throw new FedloraError(
      'E_CONFIG',
      `${this.what}: '${this.pattern}' is not a regular expression of Python, which PEFT reads it with: ${why} (position ${at})`,
      { pattern: this.pattern, position: at },
    )
  }

  /** A character, or a backslash with the one behind it. */
  get #next(): string | undefined {
    const character = this.#characters[this.#at]
    return character === '\\' ? character + (this.#characters[this.#at + 1] ?? '') : character
  }

  #take(): string | undefined {
    const token = this.#next
    if (token !== undefined) this.#at += token[0] === '\\' ? 2 : 1
    return token
  }

  #skip(token: string): boolean {
    if (this.#next !== token) return false
    this.#take()
    return true
  }

  #until(end: string, what: string): string {
    let text = ''
    for (let token = this.#take(); token !== end; token = this.#take()) {
      if (token === undefined) this.#fail(`a ${what} without '${end}'`)
      text += token
    }
    if (text === '') this.#fail(`a ${what} is empty`)
    return text
  }

  #branches(verbose: boolean, outermost = false): Sequence {
    const options = [this.#sequence(verbose, outermost)]
    while (this.#skip('|')) options.push(this.#sequence(outermost ? Boolean(this.#flags & flag.x) : verbose))
    return options.length === 1 ? options[0]! : [{ kind: 'branch', options }]
  }

  #sequence(outerVerbose: boolean, first = false): Sequence {
    const items: Node[] = []
    let verbose = outerVerbose
    for (let token = this.#next; token !== undefined && token !== '|' && token !== ')'; token = this.#next) {
      const at = this.#at
      this.#take()
      if (verbose && ' \t\n\r\v\f'.includes(token)) continue
      if (verbose && token === '#') {
        for (let comment: string | undefined = '#'; comment !== undefined && comment !== '\n'; ) comment = this.#take()
        continue
      }
      if (token[0] === '\\') items.push(this.#escape(token[1]!, at))
      else if (token === '[') items.push({ kind: 'character', set: this.#set(at) })
      else if (token === '.') items.push({ kind: 'any' })
      else if (token === '^' || token === '$') items.push({ kind: 'at', where: token })
      else if ('*+?{'.includes(token)) this.#repeat(token, items, at)
      else if (token === '(') {
        const node = this.#parenthesis(verbose, first && items.length === 0, at)
        if (node !== undefined) items.push(node)
        else if (first && items.length === 0) verbose = verbose || Boolean(this.#flags & flag.x)
      } else items.push(characterOf(literal(token.codePointAt(0)!)))
    }
    return items
  }

  #repeat(token: string, items: Node[], at: number): void {
    const bounds = token === '{' ? this.#bounds() : { min: token === '+' ? 1 : 0, max: token === '?' ? 1 : mostRepeats }
    if (bounds === undefined) {
      items.push(characterOf(literal(0x7b)))
      return
    }
    const { min, max } = bounds
    if (max < min) this.#fail('a repetition whose least is more than its most', at)
    const item = items.pop()
    if (item === undefined || item.kind === 'at') this.#fail('nothing to repeat', at)
    if (item.kind === 'repeat') this.#fail('a repetition of a repetition', at)
    const mode = this.#skip('?') ? 'lazy' : this.#skip('+') ? 'possessive' : 'greedy'
    items.push({ kind: 'repeat', min, max, mode, body: [item] })
  }

  /** `{3}`, `{3,}`, `{,3}`, `{3,5}`, `{,}`; anything else is an opening brace as it stands. */
  #bounds(): { min: number; max: number } | undefined {
    const rest = /^(?:(\d+)|(\d*),(\d*))\}/.exec(this.#characters.slice(this.#at, this.#at + 64).join(''))
    if (rest === null) return undefined
    const [whole, exactly, least, most] = rest
    this.#at += whole.length
    const min = Number(exactly ?? (least || 0))
    const max = Number(exactly ?? (most || mostRepeats))
    if (min >= mostRepeats || (max >= mostRepeats && (exactly ?? most) !== '')) this.#fail('a repetition is too large')
    return { min, max }
  }

  #escape(letter: string, at: number): Node {
    if (categories.includes(letter)) return characterOf(letter as Category)
    if (positions.includes(letter)) return { kind: 'at', where: letter as 'A' }
    if (/[1-9]/.test(letter)) return this.#numbered(letter, at)
    return characterOf(literal(this.#escaped(letter, at)))
  }

  /** `\1` to `\99`, or three octal digits. */
  #numbered(first: string, at: number): Node {
    let digits = first
    if (isDigit(this.#next)) {
      digits += this.#take()
      if (isOctal(digits[0]) && isOctal(digits[1]) && isOctal(this.#next)) {
        return characterOf(literal(this.#octal(digits + this.#take(), at)))
      }
    }
    return this.#reference(Number(digits), at)
  }

  #reference(group: number, at: number): Node {
    if (group >= this.#widths.length) this.#fail(`no group ${group}`, at)
    if (this.#widths[group] === undefined) this.#fail(`a reference to group ${group} inside it`, at)
    this.#checkBehind(group, at)
    return { kind: 'reference', group }
  }

  #checkBehind(group: number, at: number): void {
    if (this.#behind === undefined) return
    if (this.#widths[group] === undefined) this.#fail(`a reference to group ${group} inside it`, at)
    if (group >= this.#behind) this.#fail('a reference to a group of the same look-behind', at)
  }

  #octal(digits: string, at: number): number {
    const value = Number.parseInt(digits, 8)
    if (value > 0o377) this.#fail(`an octal escape beyond \\377`, at)
    return value
  }

  /** The character of an escape that is one, in a set or outside. */
  #escaped(letter: string, at: number): number {
    const control = controls[letter]
    if (control !== undefined) return control
    const length = hexDigits[letter]
    if (length !== undefined) {
      const digits = this.#characters.slice(this.#at, this.#at + length).join('')
      if (!new RegExp(`^[0-9a-fA-F]{${length}}$`).test(digits))
        this.#fail(`\\${letter} without ${length} hexadecimal digits`, at)
      this.#at += length
      const value = Number.parseInt(digits, 16)
      if (value > 0x10ffff) this.#fail(`\\U${digits} is no character`, at)
      return value
    }
    if (letter === 'N') {
      throw new FedloraError(
        'E_UNSUPPORTED',
        `${this.what}: '${this.pattern}': \\N{…} (position ${at}) is not supported; write the character itself`,
        { pattern: this.pattern, position: at },
      )
    }
    if (isOctal(letter)) {
      let digits = letter
      while (digits.length < 3 && isOctal(this.#next)) digits += this.#take()
      return this.#octal(digits, at)
    }
    if (/[A-Za-z0-9]/.test(letter)) this.#fail(`a bad escape \\${letter}`, at)
    return letter.codePointAt(0)!
  }

  #set(at: number): CharacterSet {
    const negated = this.#skip('^')
    const items: (Range | Category)[] = []
    for (;;) {
      const begin = this.#at
      const token = this.#take()
      if (token === undefined) this.#fail('a set without its closing bracket', at)
      if (token === ']' && items.length > 0) return { negated, items }
      const one = this.#member(token, begin)
      if (!this.#skip('-')) {
        items.push(one)
        continue
      }
      const end = this.#take()
      if (end === undefined) this.#fail('a set without its closing bracket', at)
      if (end === ']') {
        items.push(one, literal(0x2d))
        return { negated, items }
      }
      const other = this.#member(end, begin)
      if (typeof one === 'string' || typeof other === 'string' || other.from < one.from) {
        this.#fail('a bad range in a set', begin)
      }
      items.push({ from: one.from, to: other.from })
    }
  }

  #member(token: string, at: number): Range | Category {
    if (token[0] !== '\\') return literal(token.codePointAt(0)!)
    const letter = token[1]!
    return categories.includes(letter) ? (letter as Category) : literal(this.#escaped(letter, at))
  }

  /** What stands in parentheses; undefined for a comment and for flags of the whole. */
  #parenthesis(verbose: boolean, first: boolean, at: number): Node | undefined {
    if (!this.#skip('?')) return this.#group(verbose, at)
    const kind = this.#take() ?? this.#fail('the end of the expression in a group')
    switch (kind) {
      case 'P':
        return this.#named(verbose, at)
      case ':':
        return { kind: 'group', index: 0, on: 0, off: 0, body: this.#inside(verbose, at) }
      case '>':
        return { kind: 'atomic', body: this.#inside(verbose, at) }
      case '#':
        for (let token = this.#take(); token !== ')'; token = this.#take()) {
          if (token === undefined) this.#fail('a comment without its closing parenthesis', at)
        }
        return undefined
      case '=':
      case '!':
        return { kind: 'look', negative: kind === '!', behind: undefined, body: this.#inside(verbose, at) }
      case '<':
        return this.#lookBehind(verbose, at)
      case '(':
        return this.#conditional(verbose, at)
      default:
        return this.#flagged(kind, verbose, first, at)
    }
  }

  #inside(verbose: boolean, at: number): Sequence {
    const body = this.#branches(verbose)
    if (!this.#skip(')')) this.#fail('a group without its closing parenthesis', at)
    return body
  }

  #group(verbose: boolean, at: number, name?: string): Node {
    const index = this.#widths.push(undefined) - 1
    if (name !== undefined) {
      if (this.#names.has(name)) this.#fail(`a second group '${name}'`, at)
      this.#names.set(name, index)
    }
    const body = this.#inside(verbose, at)
    this.#widths[index] = widthOf(body, this.#widths)
    return { kind: 'group', index, on: 0, off: 0, body }
  }

  #named(verbose: boolean, at: number): Node {
    if (this.#skip('<')) {
      const name = this.#until('>', 'group name')
      if (!isIdentifier(name)) this.#fail(`'${name}' is no group name`, at)
      return this.#group(verbose, at, name)
    }
    if (!this.#skip('=')) this.#fail(`an unknown extension ?P${this.#next ?? ''}`, at)
    return this.#reference(this.#groupOf(this.#until(')', 'group name'), at), at)
  }

  #groupOf(name: string, at: number): number {
    return this.#names.get(name) ?? this.#fail(`no group '${name}'`, at)
  }

  #lookBehind(verbose: boolean, at: number): Node {
    const kind = this.#take()
    if (kind !== '=' && kind !== '!') {
      const cure =
        kind !== undefined && /^[\p{ID_Start}_]$/u.test(kind) ? '; a named group is (?P<name>…) in Python' : ''
      this.#fail(`an unknown extension ?<${kind ?? ''}${cure}`, at)
    }
    const outer = this.#behind
    this.#behind ??= this.#widths.length
    const body = this.#inside(verbose, at)
    this.#behind = outer
    const [least, most] = widthOf(body, this.#widths)
    if (least !== most) this.#fail('a look-behind whose width is not fixed', at)
    return { kind: 'look', negative: kind === '!', behind: least, body }
  }

  #conditional(verbose: boolean, at: number): Node {
    const name = this.#until(')', 'group name')
    const numbered = /^\s*\+?\d+(?:_\d+)*\s*$/.test(name)
    if (!numbered && !isIdentifier(name)) this.#fail(`'${name}' is no group`, at)
    const group = numbered ? Number(name.replaceAll('_', '')) : this.#groupOf(name, at)
    if (group === 0) this.#fail('group 0 in a condition', at)
    if (group > this.#lastConditional.group) this.#lastConditional = { group, at }
    this.#checkBehind(group, at)
    const yes = this.#sequence(verbose)
    const no = this.#skip('|') ? this.#sequence(verbose) : []
    if (this.#next === '|') this.#fail('a condition with more than two branches')
    if (!this.#skip(')')) this.#fail('a group without its closing parenthesis', at)
    return { kind: 'conditional', group, yes, no }
  }

  /** `(?i)` for the whole, or `(?i-s:…)` for what is inside. */
  #flagged(firstLetter: string, verbose: boolean, first: boolean, at: number): Node | undefined {
    let letter: string | undefined = firstLetter
    const letters = (end: string): number => {
      let bits = 0
      for (; letter !== undefined && !end.includes(letter); letter = this.#take()) {
        const bit = flag[letter as keyof typeof flag]
        if (bit === undefined)
          this.#fail(/^\p{L}$/u.test(letter) ? `an unknown flag '${letter}'` : `an unknown extension ?${letter}`, at)
        bits |= bit
      }
      return bits
    }
    const on = letters(')-:')
    if (on & flag.a && on & flag.u) this.#fail('flags a and u exclude each other', at)
    if (letter === ')' && firstLetter !== ')') {
      if (!first)
        this.#fail('flags of the whole expression that do not stand at its beginning; for a part write (?i:…)', at)
      this.#flags |= on
      return undefined
    }
    let off = 0
    if (letter === '-') {
      letter = this.#take()
      off = letters(':')
      if (off === 0) this.#fail('flags to turn off are missing', at)
    }
    if (letter !== ':' || firstLetter === ')') this.#fail(`an unknown extension ?${firstLetter}`, at)
    if (off & (flag.a | flag.u)) this.#fail('flags a and u cannot be turned off', at)
    if (on & off) this.#fail('a flag turned on and off', at)
    const inner = (verbose || Boolean(on & flag.x)) && !(off & flag.x)
    return { kind: 'group', index: 0, on, off, body: this.#inside(inner, at) }
  }
}

/**
 * The tree of a Python regular expression.
 * @param what - where it stands, for messages.
 * @throws FedloraError `E_CONFIG` for what Python refuses, saying what and where; `E_UNSUPPORTED` for `\N{…}`.
 */
export function parsePattern(pattern: string, what: string): Tree {
  return new Parser(pattern, what).parse()
}
