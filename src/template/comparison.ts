/** Python's comparisons and membership. */

import { unsupportedOperands } from './arithmetic.js'
import { look, makeText } from './budget.js'
import { compareText } from './characters.js'
import { fail } from './errors.js'
import { iterate } from './iterate.js'
import type { CompareOperator } from './nodes.js'
import { type Int, isNumber } from './numbers.js'
import { Dict, Float, isText, Range, Tuple, textOf, typeName, Undefined, type Value, View } from './values.js'

function plain(value: Int | Float): number | bigint {
  return value instanceof Float ? value.value : typeof value === 'boolean' ? Number(value) : value
}

export function equals(left: Value, right: Value): boolean {
  if (left === right) return true
  if (typeof left === 'string' && typeof right === 'string') return false
  if (isNumber(left) && isNumber(right)) {
    // biome-ignore lint/suspicious/noDoubleEquals: a bigint and a number are compared by value
    return plain(left) == plain(right)
  }
  if (isText(left) && isText(right)) return textOf(left, '==') === textOf(right, '==')
  if (Array.isArray(left)) return Array.isArray(right) && sameItems(left, right)
  if (left instanceof Tuple) return right instanceof Tuple && sameItems(left.items, right.items)
  if (left instanceof Dict) {
    if (!(right instanceof Dict) || left.size !== right.size) return false
    for (const [key, value] of left.entries()) {
      const other = right.get(key)
      if (other === undefined || !equals(value, other)) return false
    }
    return true
  }
  if (left instanceof Range && right instanceof Range) {
    if (left.length !== right.length) return false
    return left.length === 0 || (left.start === right.start && (left.length === 1 || left.step === right.step))
  }
  if (left instanceof View && right instanceof View && left.kind !== 'values' && right.kind !== 'values') {
    return left.dict.size === right.dict.size && [...left].every((item) => contains(right, item))
  }
  return left instanceof Undefined && right instanceof Undefined
}

function sameItems(a: readonly Value[], b: readonly Value[]): boolean {
  look(a.length)
  return a.length === b.length && a.every((item, i) => equals(item, b[i]!))
}

/** Negative, zero, positive; NaN when neither is true. */
export function order(left: Value, right: Value, operator: string): number {
  if (isNumber(left) && isNumber(right)) {
    const [a, b] = [plain(left), plain(right)]
    if (a < b) return -1
    return a > b ? 1 : a >= b ? 0 : NaN
  }
  if (isText(left) && isText(right)) return compareText(textOf(left, operator), textOf(right, operator))
  const items = (value: Value) => (Array.isArray(value) ? value : value instanceof Tuple ? value.items : undefined)
  const [a, b] = [items(left), items(right)]
  if (a !== undefined && b !== undefined && Array.isArray(left) === Array.isArray(right)) {
    look(Math.min(a.length, b.length))
    for (let i = 0; i < a.length && i < b.length; ++i) {
      if (!equals(a[i]!, b[i]!)) return order(a[i]!, b[i]!, operator)
    }
    return a.length - b.length
  }
  return unsupportedOperands(operator, left, right)
}

export function contains(container: Value, item: Value): boolean {
  if (isText(container)) {
    if (!isText(item)) {
      if (item instanceof Undefined) return fail("'in <string>' requires a string as left operand, not Undefined")
      return fail(`'in <string>' requires a string as left operand, not ${typeName(item)}`)
    }
    makeText(textOf(container, 'in').length)
    return textOf(container, 'in').includes(textOf(item, 'in'))
  }
  if (container instanceof Dict) return container.has(item)
  if (container instanceof View && container.kind === 'keys') return container.dict.has(item)
  for (const one of iterate(container)) {
    look(1)
    if (equals(one, item)) return true
  }
  return false
}

export function compare(operator: CompareOperator, left: Value, right: Value): boolean {
  switch (operator) {
    case '==':
      return equals(left, right)
    case '!=':
      return !equals(left, right)
    case 'in':
      return contains(right, left)
    case 'not in':
      return !contains(right, left)
    case '<':
      return order(left, right, operator) < 0
    case '<=':
      return order(left, right, operator) <= 0
    case '>':
      return order(left, right, operator) > 0
    default:
      return order(left, right, operator) >= 0
  }
}
