/** Expressions, from the loosest binding to the tightest: conditional, or, and, not, comparison, + -, ~, * / // %, **, sign, postfix, filter. */

import { TemplateError } from './errors.js'
import type { Arguments, BinaryOperator, CompareOperator, Expression, Filter, Slice, Target } from './nodes.js'
import type { TokenStream } from './token-stream.js'

const maxNesting = 200
const constants = new Map([
  ['true', true],
  ['True', true],
  ['false', false],
  ['False', false],
  ['none', null],
  ['None', null],
])
const noArguments: Arguments = { args: [], named: [], rest: null, namedRest: null }
const testArgumentStarts = new Set(['name', 'string', 'number', '(', '[', '{'])

export class ExpressionParser {
  #nesting = 0

  constructor(readonly stream: TokenStream) {}

  /** Runs `parse` one level deeper. */
  #nested(parse: () => Expression): Expression {
    if (++this.#nesting > maxNesting) {
      const message = `expressions within each other: more than ${maxNesting}`
      throw new TemplateError('limit', message, this.stream.current.line)
    }
    const node = parse()
    --this.#nesting
    return node
  }

  expression(): Expression {
    return this.#nested(() => {
      let left = this.or()
      while (this.stream.skipName('if')) {
        const test = this.or()
        const otherwise = this.stream.skipName('else') ? this.expression() : null
        left = { kind: 'conditional', test, value: left, otherwise }
      }
      return left
    })
  }

  or(): Expression {
    let left = this.#and()
    while (this.stream.skipName('or')) left = { kind: 'or', left, right: this.#and() }
    return left
  }

  #and(): Expression {
    let left = this.#not()
    while (this.stream.skipName('and')) left = { kind: 'and', left, right: this.#not() }
    return left
  }

  #not(): Expression {
    let count = 0
    while (this.stream.skipName('not')) ++count
    let operand = this.#compare()
    for (; count > 0; --count) operand = { kind: 'not', operand }
    return operand
  }

  #compare(): Expression {
    const first = this.#sum()
    const rest: (readonly [CompareOperator, Expression])[] = []
    for (;;) {
      const { type } = this.stream.current
      if (type === '==' || type === '!=' || type === '<' || type === '<=' || type === '>' || type === '>=') {
        this.stream.next()
        rest.push([type, this.#sum()])
      } else if (this.stream.skipName('in')) rest.push(['in', this.#sum()])
      else if (this.stream.isName('not') && this.stream.ahead.type === 'name' && this.stream.ahead.value === 'in') {
        this.stream.next()
        this.stream.next()
        rest.push(['not in', this.#sum()])
      } else return rest.length === 0 ? first : { kind: 'compare', first, rest }
    }
  }

  #binary(operators: readonly string[], operand: () => Expression): Expression {
    let left = operand()
    while (operators.includes(this.stream.current.type)) {
      const operator = this.stream.next().type as BinaryOperator
      left = { kind: 'binary', operator, left, right: operand() }
    }
    return left
  }

  #sum(): Expression {
    return this.#binary(['+', '-'], () => this.#concat())
  }

  #concat(): Expression {
    const items = [this.#product()]
    while (this.stream.skip('~')) items.push(this.#product())
    return items.length === 1 ? items[0]! : { kind: 'concat', items }
  }

  #product(): Expression {
    return this.#binary(['*', '/', '//', '%'], () => this.#binary(['**'], () => this.#signed()))
  }

  #signed(withFilter = true): Expression {
    let node: Expression
    if (this.stream.current.type === '-' || this.stream.current.type === '+') {
      const kind = this.stream.next().type === '-' ? 'negative' : 'positive'
      node = this.#nested(() => ({ kind, operand: this.#signed(false) }))
    } else node = this.#primary()
    node = this.#postfix(node)
    return withFilter ? this.#filtersAndTests(node) : node
  }

  #primary(): Expression {
    const token = this.stream.current
    switch (token.type) {
      case 'name': {
        this.stream.next()
        const name = token.value as string
        const constant = constants.get(name)
        return constant === undefined ? { kind: 'name', name } : { kind: 'constant', value: constant }
      }
      case 'string': {
        let value = ''
        while (this.stream.current.type === 'string') value += this.stream.next().value as string
        return { kind: 'constant', value }
      }
      case 'number':
        this.stream.next()
        return { kind: 'constant', value: token.value }
      case '(': {
        this.stream.next()
        const node = this.tuple({ empty: true })
        this.stream.expect(')')
        return node
      }
      case '[':
        return { kind: 'list', items: this.#until(']', () => this.expression()) }
      case '{':
        return {
          kind: 'dict',
          pairs: this.#until('}', () => {
            const key = this.expression()
            this.stream.expect(':')
            return [key, this.expression()] as const
          }),
        }
      default:
        return this.stream.fail(`unexpected ${this.stream.describe()}`)
    }
  }

  /** Items between brackets; a comma may end them. */
  #until<T>(end: string, item: () => T): T[] {
    this.stream.next()
    const items: T[] = []
    while (this.stream.current.type !== end) {
      if (items.length > 0) this.stream.expect(',')
      if (this.stream.current.type === end) break
      items.push(item())
    }
    this.stream.expect(end)
    return items
  }

  /** An expression, or several with commas between them. */
  tuple(options: { conditional?: boolean; empty?: boolean } = {}): Expression {
    const parse = () => (options.conditional === false ? this.or() : this.expression())
    return this.#items(parse, options.empty === true)
  }

  #items(parse: () => Expression, mayBeEmpty: boolean): Expression {
    const items: Expression[] = []
    let isTuple = false
    for (;;) {
      if (items.length > 0) this.stream.expect(',')
      if (['variable_end', 'block_end', ')'].includes(this.stream.current.type)) break
      items.push(parse())
      if (this.stream.current.type !== ',') break
      isTuple = true
    }
    if (!isTuple) {
      if (items.length > 0) return items[0]!
      if (!mayBeEmpty) this.stream.fail(`expected an expression, found ${this.stream.describe()}`)
    }
    return { kind: 'tuple', items }
  }

  /** What may stand before `=` or `in`. */
  target(options: { namespaces?: boolean } = {}): Target {
    const { line } = this.stream.current
    const parse = (): Expression => {
      const name = this.stream.current
      if (options.namespaces !== true || name.type !== 'name' || this.stream.ahead.type !== '.') return this.#primary()
      if (constants.has(name.value as string)) return this.#primary()
      this.stream.next()
      this.stream.next()
      return { kind: 'namespaceTarget', name: name.value as string, attribute: this.stream.expectName() }
    }
    const node = this.#items(parse, false)
    const assignable = (item: Expression): boolean =>
      item.kind === 'tuple' ? item.items.every(assignable) : item.kind === 'name' || item.kind === 'namespaceTarget'
    if (!assignable(node)) this.stream.fail(`cannot assign to a ${node.kind}`, line)
    return node as Target
  }

  /** A name that may be assigned to. */
  name(): string {
    const { line } = this.stream.current
    const name = this.stream.expectName()
    if (constants.has(name)) this.stream.fail(`cannot assign to ${name}`, line)
    return name
  }

  #postfix(start: Expression): Expression {
    let node = start
    for (;;) {
      const { type } = this.stream.current
      if (type === '.') node = this.#attribute(node)
      else if (type === '[') node = this.#item(node)
      else if (type === '(') node = { kind: 'call', callee: node, ...this.arguments() }
      else return node
    }
  }

  #attribute(object: Expression): Expression {
    this.stream.next()
    const token = this.stream.next()
    if (token.type === 'name') return { kind: 'attribute', object, name: token.value as string }
    if (token.type !== 'number') this.stream.fail('expected a name or a number after a point', token.line)
    return { kind: 'item', object, index: { kind: 'constant', value: token.value } }
  }

  #item(object: Expression): Expression {
    this.stream.next()
    const items: Expression[] = []
    while (this.stream.current.type !== ']') {
      if (items.length > 0) this.stream.expect(',')
      items.push(this.#subscript())
    }
    this.stream.expect(']')
    return { kind: 'item', object, index: items.length === 1 ? items[0]! : { kind: 'tuple', items } }
  }

  #subscript(): Expression {
    const part = () => ([':', ']', ','].includes(this.stream.current.type) ? null : this.expression())
    const start = part()
    if (!this.stream.skip(':')) return start ?? this.expression()
    const stop = part()
    const step = this.stream.skip(':') ? part() : null
    return { kind: 'slice', start, stop, step } satisfies Slice
  }

  arguments(): Arguments {
    const { line } = this.stream.expect('(')
    const args: Expression[] = []
    const named: (readonly [string, Expression])[] = []
    let rest: Expression | null = null
    let namedRest: Expression | null = null
    const ensure = (holds: boolean) => {
      if (!holds) this.stream.fail('arguments in an order that a call cannot have', line)
    }
    for (let first = true; this.stream.current.type !== ')'; first = false) {
      if (!first) {
        this.stream.expect(',')
        if (this.stream.current.type === ')') break
      }
      if (this.stream.skip('*')) {
        ensure(rest === null && namedRest === null)
        rest = this.expression()
      } else if (this.stream.skip('**')) {
        ensure(namedRest === null)
        namedRest = this.expression()
      } else if (this.stream.current.type === 'name' && this.stream.ahead.type === '=') {
        ensure(namedRest === null)
        const name = this.stream.expectName()
        if (named.some(([other]) => other === name)) this.stream.fail(`argument ${name} is given twice`, line)
        this.stream.next()
        named.push([name, this.expression()])
      } else {
        ensure(rest === null && namedRest === null && named.length === 0)
        args.push(this.expression())
      }
    }
    this.stream.expect(')')
    return { args, named, rest, namedRest }
  }

  #dottedName(): string {
    let name = this.stream.expectName()
    while (this.stream.skip('.')) name += `.${this.stream.expectName()}`
    return name
  }

  /** One filter whose name comes next, its `|` read already. */
  filter(input: Expression | null): Filter {
    const { line } = this.stream.current
    const name = this.#dottedName()
    const given = this.stream.current.type === '(' ? this.arguments() : noArguments
    return { kind: 'filter', input, name, line, ...given }
  }

  /** Filters after each other, the first `|` still to come; null when there is none. */
  filters(input: Expression | null): Filter | null {
    let node: Filter | null = null
    while (this.stream.skip('|')) node = this.filter(node ?? input)
    return node
  }

  #filtersAndTests(start: Expression): Expression {
    let node = start
    for (;;) {
      if (this.stream.skip('|')) node = this.filter(node)
      else if (this.stream.isName('is')) node = this.#test(node)
      else if (this.stream.current.type === '(') node = { kind: 'call', callee: node, ...this.arguments() }
      else return node
    }
  }

  #test(input: Expression): Expression {
    const { line } = this.stream.next()
    const negated = this.stream.skipName('not')
    const name = this.#dottedName()
    let given = noArguments
    if (this.stream.current.type === '(') given = this.arguments()
    else if (
      testArgumentStarts.has(this.stream.current.type) &&
      !['else', 'or', 'and'].some((word) => this.stream.isName(word))
    ) {
      if (this.stream.isName('is')) this.stream.fail('tests cannot be chained with is')
      given = { ...noArguments, args: [this.#postfix(this.#primary())] }
    }
    const test: Expression = { kind: 'test', input, name, line, ...given }
    return negated ? { kind: 'not', operand: test } : test
  }
}
