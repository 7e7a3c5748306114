/** Structured field values as far as signatures need them: dictionaries of inner lists and byte sequences. Source: RFC 9651 §3, §4. */
import { FedloraError } from '../../errors.js'

/** A token, apart from a string of the same letters. */
export class Token {
  constructor(readonly text: string) {}
}

export type Bare = number | string | boolean | Uint8Array | Token
export type Parameters = ReadonlyMap<string, Bare>
export interface Item {
  value: Bare
  parameters: Parameters
}
export interface InnerList {
  items: Item[]
  parameters: Parameters
}
export type Dictionary = ReadonlyMap<string, Item | InnerList>

const limits = { characters: 16_384, members: 64 }

/** @throws FedloraError `E_FORMAT` with the place of what is no dictionary. */
export function parseDictionary(text: string): Dictionary {
  return new Reader(text).dictionary()
}

/** The canonical text of an inner list with its parameters (§4.1.1.1). */
export function innerListText({ items, parameters }: InnerList): string {
  return `(${items.map((item) => bareText(item.value) + parametersText(item.parameters)).join(' ')})${parametersText(parameters)}`
}

export function parametersText(parameters: Parameters): string {
  return [...parameters].map(([key, value]) => (value === true ? `;${key}` : `;${key}=${bareText(value)}`)).join('')
}

function bareText(value: Bare): string {
  if (typeof value === 'string') return `"${value.replace(/[\\"]/g, '\\$&')}"`
  if (typeof value === 'boolean') return value ? '?1' : '?0'
  if (typeof value === 'number') return String(value)
  if (value instanceof Token) return value.text
  return `:${Buffer.from(value).toString('base64')}:`
}

/** Reads from the left; every pattern is sticky, so that nothing is looked at twice. */
class Reader {
  #at = 0

  constructor(readonly text: string) {
    if (text.length > limits.characters) this.#refuse(`more than ${limits.characters} characters`)
  }

  #refuse(what: string): never {
    throw new FedloraError('E_FORMAT', `structured field: ${what} at character ${this.#at}`, { at: this.#at })
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.text)
    if (found !== null) this.#at += found[0].length
    return found
  }

  #take(letter: string): boolean {
    const there = this.text[this.#at] === letter
    if (there) this.#at++
    return there
  }

  dictionary(): Dictionary {
    const members = new Map<string, Item | InnerList>()
    this.#match(/ */y)
    while (this.#at < this.text.length) {
      if (members.size === limits.members) this.#refuse(`more than ${limits.members} members`)
      const key = this.#key()
      members.delete(key)
      members.set(key, this.#take('=') ? this.#member() : { value: true, parameters: this.#parameters() })
      this.#match(/[ \t]*/y)
      if (this.#at === this.text.length) break
      if (!this.#take(',')) this.#refuse('expected a comma')
      this.#match(/[ \t]*/y)
      if (this.#at === this.text.length) this.#refuse('a comma with nothing after it')
    }
    return members
  }

  #key(): string {
    return (this.#match(/[a-z*][a-z0-9_\-.*]*/y) ?? this.#refuse('expected a key'))[0]
  }

  #member(): Item | InnerList {
    if (!this.#take('(')) return this.#item()
    const items: Item[] = []
    for (;;) {
      this.#match(/ */y)
      if (this.#take(')')) return { items, parameters: this.#parameters() }
      if (items.length === limits.members) this.#refuse(`more than ${limits.members} items`)
      items.push(this.#item())
      if (this.text[this.#at] !== ' ' && this.text[this.#at] !== ')') this.#refuse('expected a space or )')
    }
  }

  #item(): Item {
    return { value: this.#bare(), parameters: this.#parameters() }
  }

  #parameters(): Parameters {
    const parameters = new Map<string, Bare>()
    while (this.#take(';')) {
      this.#match(/ */y)
      if (parameters.size === limits.members) this.#refuse(`more than ${limits.members} parameters`)
      const key = this.#key()
      parameters.delete(key)
      parameters.set(key, this.#take('=') ? this.#bare() : true)
    }
    return parameters
  }

  #bare(): Bare {
    const string = this.#match(/"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"/y)
    if (string !== null) return string[1]!.replace(/\\(.)/g, '$1')
    const bytes = this.#match(/:([A-Za-z0-9+/]*={0,2}):/y)
    if (bytes !== null) return Buffer.from(bytes[1]!, 'base64')
    const number = this.#match(/-?\d{1,15}(?:\.\d{1,3})?(?![\d.])/y)
    if (number !== null) return Number(number[0])
    const boolean = this.#match(/\?([01])/y)
    if (boolean !== null) return boolean[1] === '1'
    const token = this.#match(/[A-Za-z*][!#$%&'*+\-.^_`|~\w:/]*/y)
    if (token !== null) return new Token(token[0])
    return this.#refuse('expected a value')
  }
}
