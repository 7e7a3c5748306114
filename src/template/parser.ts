/** Statements. */

import { TemplateError } from './errors.js'
import { tokenize } from './lexer.js'
import type { Expression, Filter, If, Output, Signature, Statement } from './nodes.js'
import { ExpressionParser } from './parse-expression.js'
import { TokenStream } from './token-stream.js'

type Body = readonly Statement[]

const maxNesting = 100

class Parser {
  readonly #stream: TokenStream
  readonly #expressions: ExpressionParser
  #nesting = 0
  readonly #blocks = new Set<string>()

  constructor(source: string) {
    this.#stream = new TokenStream(tokenize(source))
    this.#expressions = new ExpressionParser(this.#stream)
  }

  /** Statements up to a tag of `ends`, whose name is the current token then; up to the end of the template without `ends`. */
  body(ends: readonly string[]): Statement[] {
    const stream = this.#stream
    const statements: Statement[] = []
    let items: Output['items'][number][] = []
    let line = stream.current.line
    const flush = () => {
      if (items.length > 0) statements.push({ kind: 'output', items, line })
      items = []
    }
    for (;;) {
      const token = stream.next()
      if (items.length === 0) line = token.line
      if (token.type === 'data') items.push(token.value as string)
      else if (token.type === 'variable_begin') {
        items.push({ expression: this.#expressions.tuple(), line: token.line })
        stream.expect('variable_end')
      } else if (token.type === 'block_begin') {
        flush()
        if (ends.some((end) => stream.isName(end))) return statements
        statements.push(this.#statement())
        stream.expect('block_end')
      } else {
        flush()
        if (ends.length > 0) stream.fail(`the template ends without ${ends.join(' or ')}`)
        return statements
      }
    }
  }

  /** The inside of a tag's block, from before its `%}`; the name of the tag that ends it is read. */
  #block(...ends: string[]): Body {
    if (++this.#nesting > maxNesting) {
      throw new TemplateError('limit', `blocks within each other: more than ${maxNesting}`, this.#stream.current.line)
    }
    this.#stream.skip(':')
    this.#stream.expect('block_end')
    const body = this.body(ends)
    --this.#nesting
    return body
  }

  #blockTo(end: string): Body {
    const body = this.#block(end)
    this.#stream.next()
    return body
  }

  #statement(): Statement {
    const { line } = this.#stream.current
    const tag = this.#stream.expectName()
    switch (tag) {
      case 'for':
        return this.#for(line)
      case 'if':
        return this.#if(line)
      case 'set':
        return this.#set(line)
      case 'macro': {
        const name = this.#expressions.name()
        return { kind: 'macro', line, name, ...this.#signature(), body: this.#blockTo('endmacro') }
      }
      case 'call':
        return this.#call(line)
      case 'filter':
        return { kind: 'filterBlock', line, filter: this.#filterChain(), body: this.#blockTo('endfilter') }
      case 'with':
        return this.#with(line)
      case 'print':
        return {
          kind: 'output',
          line,
          items: this.#list('block_end', () => ({ expression: this.#expressions.expression(), line })),
        }
      case 'generation':
        return { kind: 'generation', line, body: this.#blockTo('endgeneration') }
      case 'break':
      case 'continue':
        return { kind: tag, line }
      case 'block':
        return this.#namedBlock(line)
      case 'extends':
      case 'include':
      case 'import':
      case 'from':
        return this.#load(tag, line)
      case 'autoescape':
        throw new TemplateError('unsupported', 'the tag autoescape is not supported', line)
      default:
        return this.#stream.fail(`unknown tag '${tag}'`, line)
    }
  }

  #for(line: number): Statement {
    const expressions = this.#expressions
    const target = expressions.target()
    this.#stream.expectName('in')
    const iterable = expressions.tuple({ conditional: false })
    const test = this.#stream.skipName('if') ? expressions.expression() : null
    const recursive = this.#stream.skipName('recursive')
    const body = this.#block('endfor', 'else')
    const otherwise = this.#stream.next().value === 'else' ? this.#blockTo('endfor') : []
    return { kind: 'for', line, target, iterable, test, recursive, body, otherwise }
  }

  #if(line: number): If & { line: number } {
    const test = this.#expressions.tuple({ conditional: false })
    const body = this.#block('elif', 'else', 'endif')
    const elifs: (If & { line: number })[] = []
    for (;;) {
      const elifLine = this.#stream.current.line
      const tag = this.#stream.next().value
      if (tag === 'elif') {
        const elifTest = this.#expressions.tuple({ conditional: false })
        const elifBody = this.#block('elif', 'else', 'endif')
        elifs.push({ kind: 'if', line: elifLine, test: elifTest, body: elifBody, elifs: [], otherwise: [] })
      } else {
        const otherwise = tag === 'else' ? this.#blockTo('endif') : []
        return { kind: 'if', line, test, body, elifs, otherwise }
      }
    }
  }

  #set(line: number): Statement {
    const target = this.#expressions.target({ namespaces: true })
    if (this.#stream.skip('=')) return { kind: 'set', line, target, value: this.#expressions.tuple() }
    const filter = this.#expressions.filters(null)
    return { kind: 'setBlock', line, target, filter, body: this.#blockTo('endset') }
  }

  #signature(): Signature {
    const parameters: string[] = []
    const defaults: Expression[] = []
    this.#stream.expect('(')
    while (this.#stream.current.type !== ')') {
      if (parameters.length > 0) this.#stream.expect(',')
      const name = this.#expressions.name()
      if (parameters.includes(name)) this.#stream.fail(`parameter ${name} is named twice`)
      parameters.push(name)
      if (this.#stream.skip('=')) defaults.push(this.#expressions.expression())
      else if (defaults.length > 0) this.#stream.fail('a parameter without a default follows one with a default')
    }
    this.#stream.expect(')')
    return { parameters, defaults }
  }

  #call(line: number): Statement {
    const signature = this.#stream.current.type === '(' ? this.#signature() : { parameters: [], defaults: [] }
    const call = this.#expressions.expression()
    if (call.kind !== 'call') this.#stream.fail('expected a call', line)
    return { kind: 'callBlock', line, ...signature, call, body: this.#blockTo('endcall') }
  }

  #filterChain(): Filter {
    const first = this.#expressions.filter(null)
    return this.#expressions.filters(first) ?? first
  }

  /** Items with commas between them, up to a token that is left. */
  #list<T>(end: string, item: () => T): T[] {
    const items: T[] = []
    while (this.#stream.current.type !== end) {
      if (items.length > 0) this.#stream.expect(',')
      items.push(item())
    }
    return items
  }

  #with(line: number): Statement {
    const pairs = this.#list('block_end', () => {
      const target = this.#expressions.target()
      this.#stream.expect('=')
      return { target, value: this.#expressions.expression() }
    })
    const targets = pairs.map((pair) => pair.target)
    const values = pairs.map((pair) => pair.value)
    return { kind: 'with', line, targets, values, body: this.#blockTo('endwith') }
  }

  #namedBlock(line: number): Statement {
    const name = this.#stream.expectName()
    for (const kind of ['scoped', 'required']) {
      if (this.#stream.isName(kind)) throw new TemplateError('unsupported', `a ${kind} block is not supported`, line)
    }
    if (this.#blocks.has(name)) this.#stream.fail(`block '${name}' is defined twice`, line)
    this.#blocks.add(name)
    const body = this.#blockTo('endblock')
    this.#stream.skipName(name)
    return { kind: 'block', line, name, body }
  }

  /** Reads over a tag that loads another template; the names that it would store come after `import` or `as`. */
  #load(tag: string, line: number): Statement {
    const stores: string[] = []
    let storing = false
    while (this.#stream.current.type !== 'block_end' && this.#stream.current.type !== 'eof') {
      const token = this.#stream.next()
      if (token.type !== 'name') continue
      if (storing && token.value !== 'as') stores.push(token.value as string)
      else if (token.value === 'import' || token.value === 'as') storing = true
    }
    return { kind: 'load', line, tag, stores }
  }
}

/** @throws TemplateError of kind syntax, unsupported or limit */
export function parse(source: string): Body {
  return new Parser(source).body([])
}
