/** A position in the tokens of a template. */

import { TemplateError } from './errors.js'
import type { Token } from './lexer.js'

export class TokenStream {
  #at = 0

  constructor(readonly tokens: readonly Token[]) {}

  get current(): Token {
    return this.tokens[this.#at]!
  }

  get ahead(): Token {
    return this.tokens[this.#at + 1] ?? this.current
  }

  next(): Token {
    const token = this.current
    if (token.type !== 'eof') ++this.#at
    return token
  }

  /** Whether the current token is the word `name`. */
  isName(name: string): boolean {
    return this.current.type === 'name' && this.current.value === name
  }

  /** Moves past the word `name` when it is there. */
  skipName(name: string): boolean {
    const found = this.isName(name)
    if (found) this.next()
    return found
  }

  /** Moves past a token of this type when it is there. */
  skip(type: string): boolean {
    const found = this.current.type === type
    if (found) this.next()
    return found
  }

  expect(type: string): Token {
    if (this.current.type !== type) this.fail(`expected ${type.replace('_', ' of a ')}, found ${this.describe()}`)
    return this.next()
  }

  expectName(name?: string): string {
    if (this.current.type !== 'name' || (name !== undefined && this.current.value !== name)) {
      this.fail(`expected ${name === undefined ? 'a name' : `'${name}'`}, found ${this.describe()}`)
    }
    return this.next().value as string
  }

  describe(): string {
    const { type, value } = this.current
    if (type === 'eof') return 'the end of the template'
    if (type === 'name') return `'${value}'`
    return `'${type.replace('variable_begin', '{{').replace('variable_end', '}}').replace('block_end', '%}')}'`
  }

  fail(message: string, line = this.current.line): never {
    throw new TemplateError('syntax', message, line)
  }
}
