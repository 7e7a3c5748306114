/** Expressions to functions of a frame. */

import { binary, negate, positive } from './arithmetic.js'
import { call, callMethod, getAttribute, getItem, getSlice } from './attributes.js'
import { compare } from './comparison.js'
import { fail, TemplateError } from './errors.js'
import { filters, tests } from './filters.js'
import { iterate } from './iterate.js'
import type { Arguments, Expression, Filter, Slice, Test } from './nodes.js'
import { concat, str } from './print.js'
import type { Evaluate, Frame } from './runtime.js'
import type { Symbols, Variable } from './scope.js'
import { Dict, isText, type Named, Tuple, textOf, truth, typeName, Undefined, type Value } from './values.js'

/** Where an expression stands. */
export interface Place {
  readonly symbols: Symbols
  /** Within an `if`: an unknown filter is an error only when it is reached. */
  readonly soft: boolean
  /** What a filter block has written, for its filter. */
  readonly block?: (frame: Frame) => Value
}

/** Reads and writes a variable from a function that is `hops` functions within the one that holds it. */
export function access(variable: Variable, symbols: Symbols): { hops: number; slot: number } {
  return { hops: symbols.scope.depth - variable.depth, slot: variable.slot }
}

export function holder(frame: Frame, hops: number): Frame {
  let at = frame
  for (let i = 0; i < hops; ++i) at = at.parent!
  return at
}

function compileName(name: string, { symbols }: Place): Evaluate {
  const variable = symbols.find(name)
  if (variable === undefined) throw new TemplateError('syntax', `the name ${name} has no place`)
  const { hops, slot } = access(variable, symbols)
  const missing = new Undefined(`'${name}' is undefined`)
  return (frame) => {
    const value = holder(frame, hops).slots[slot]
    return value === undefined ? missing : value
  }
}

type Prepared = (frame: Frame) => { args: Value[]; named: Named }

function compileArguments(node: Arguments, place: Place): Prepared {
  const args = node.args.map((arg) => compileExpression(arg, place))
  const named = node.named.map(([name, value]) => [name, compileExpression(value, place)] as const)
  const rest = node.rest === null ? null : compileExpression(node.rest, place)
  const namedRest = node.namedRest === null ? null : compileExpression(node.namedRest, place)
  const values = (frame: Frame) => {
    const evaluated: Value[] = new Array(args.length)
    for (let i = 0; i < args.length; ++i) evaluated[i] = args[i]!(frame)
    return evaluated
  }
  if (named.length === 0 && rest === null && namedRest === null)
    return (frame) => ({ args: values(frame), named: null })
  return (frame) => {
    const given = values(frame)
    const names = new Map<string, Value>()
    for (const [name, value] of named) names.set(name, value(frame))
    if (rest !== null) for (const item of iterate(rest(frame))) given.push(item)
    if (namedRest !== null) {
      const more = namedRest(frame)
      if (!(more instanceof Dict)) return fail(`argument after ** must be a mapping, not ${typeName(more)}`)
      for (const [key, value] of more.entries()) {
        const name = isText(key) ? textOf(key, '**') : fail('keywords must be strings')
        if (names.has(name)) return fail(`got multiple values for keyword argument '${name}'`)
        names.set(name, value)
      }
    }
    return { args: given, named: names.size === 0 ? null : names }
  }
}

/** @param extra a further named argument, such as `caller` */
export function compileCall(
  node: Expression & { kind: 'call' },
  place: Place,
  extra?: readonly [string, Evaluate],
): Evaluate {
  const prepare = compileArguments(node, place)
  const withExtra: Prepared =
    extra === undefined
      ? prepare
      : (frame) => {
          const { args, named } = prepare(frame)
          return { args, named: new Map([...(named ?? []), [extra[0], extra[1](frame)]]) }
        }
  if (node.callee.kind === 'attribute') {
    const object = compileExpression(node.callee.object, place)
    const { name } = node.callee
    return (frame) => {
      const subject = object(frame)
      if (subject instanceof Undefined) return subject.fail()
      // An attribute that is missing is found out after the arguments, as a call of what is undefined.
      const { args, named } = withExtra(frame)
      return callMethod(subject, name, args, named)
    }
  }
  const callee = compileExpression(node.callee, place)
  return (frame) => {
    const target = callee(frame)
    const { args, named } = withExtra(frame)
    return call(target, args, named)
  }
}

function compileNative(node: Filter | Test, place: Place): Evaluate {
  const native = (node.kind === 'filter' ? filters : tests).get(node.name)
  const unknown = () => new TemplateError('unsupported', `there is no ${node.kind} named '${node.name}'`, node.line)
  if (native === undefined && !place.soft) throw unknown()
  const input = node.input === null ? place.block! : compileExpression(node.input, place)
  if (native === undefined) {
    return () => {
      throw unknown()
    }
  }
  const none: Value[] = []
  if (node.args.length === 0 && node.named.length === 0 && node.rest === null && node.namedRest === null) {
    return (frame) => native.invoke(input(frame), none, null)
  }
  const prepare = compileArguments(node, place)
  return (frame) => {
    const subject = input(frame)
    const { args, named } = prepare(frame)
    return native.invoke(subject, args, named)
  }
}

function compileComparison(node: Expression & { kind: 'compare' }, place: Place): Evaluate {
  const first = compileExpression(node.first, place)
  const rest = node.rest.map(([operator, operand]) => [operator, compileExpression(operand, place)] as const)
  if (rest.length === 1) {
    const [operator, operand] = rest[0]!
    return (frame) => compare(operator, first(frame), operand(frame))
  }
  return (frame) => {
    let left = first(frame)
    for (const [operator, operand] of rest) {
      const right = operand(frame)
      if (!compare(operator, left, right)) return false
      left = right
    }
    return true
  }
}

function compileSlice(object: Evaluate, node: Slice, place: Place): Evaluate {
  const [start, stop, step] = [node.start, node.stop, node.step].map((part) =>
    part === null ? () => null : compileExpression(part, place),
  )
  return (frame) => getSlice(object(frame), start!(frame), stop!(frame), step!(frame))
}

export function compileExpression(node: Expression, place: Place): Evaluate {
  const compiled = (child: Expression) => compileExpression(child, place)
  switch (node.kind) {
    case 'constant': {
      const { value } = node
      return () => value
    }
    case 'name':
      return compileName(node.name, place)
    case 'tuple':
    case 'list': {
      const items = node.items.map(compiled)
      const isTuple = node.kind === 'tuple'
      return (frame) => {
        const values = items.map((item) => item(frame))
        return isTuple ? new Tuple(values) : values
      }
    }
    case 'dict': {
      const pairs = node.pairs.map(([key, value]) => [compiled(key), compiled(value)] as const)
      return (frame) => {
        const dict = new Dict()
        for (const [key, value] of pairs) dict.set(key(frame), value(frame))
        return dict
      }
    }
    case 'binary': {
      const [left, right, { operator }] = [compiled(node.left), compiled(node.right), node]
      return (frame) => binary(operator, left(frame), right(frame))
    }
    case 'and':
    case 'or': {
      const [left, right, stopsAt] = [compiled(node.left), compiled(node.right), node.kind === 'or']
      return (frame) => {
        const value = left(frame)
        return truth(value) === stopsAt ? value : right(frame)
      }
    }
    case 'not': {
      const operand = compiled(node.operand)
      return (frame) => !truth(operand(frame))
    }
    case 'negative': {
      const operand = compiled(node.operand)
      return (frame) => negate(operand(frame))
    }
    case 'positive': {
      const operand = compiled(node.operand)
      return (frame) => positive(operand(frame))
    }
    case 'compare':
      return compileComparison(node, place)
    case 'concat': {
      const items = node.items.map(compiled)
      return (frame) => concat(items.map((item) => item(frame)))
    }
    case 'conditional': {
      const soft = { ...place, soft: true }
      const test = compileExpression(node.test, soft)
      const value = compileExpression(node.value, soft)
      const otherwise = node.otherwise === null ? null : compileExpression(node.otherwise, soft)
      const missing = new Undefined('the inline if-expression evaluated to false and no else section was defined.')
      return (frame) => (truth(test(frame)) ? value(frame) : otherwise === null ? missing : otherwise(frame))
    }
    case 'attribute': {
      const [object, { name }] = [compiled(node.object), node]
      return (frame) => getAttribute(object(frame), name)
    }
    case 'item': {
      const object = compiled(node.object)
      if (node.index.kind === 'slice') return compileSlice(object, node.index, place)
      if (node.index.kind === 'tuple' && node.index.items.some((item) => item.kind === 'slice')) {
        throw new TemplateError('unsupported', 'several slices in one subscript are not supported')
      }
      const index = compiled(node.index)
      return (frame) => getItem(object(frame), index(frame))
    }
    case 'call':
      return compileCall(node, place)
    case 'filter':
    case 'test':
      return compileNative(node, place)
    default:
      throw new TemplateError('syntax', `a ${node.kind} cannot stand here`)
  }
}

/** What an output statement prints. */
export function compilePrint(node: Expression, place: Place): (frame: Frame) => string {
  const value = compileExpression(node, place)
  return (frame) => str(value(frame))
}
