/** Python's operators: arithmetic on ints of any size and floats, comparison, membership. */

import { look, makeInteger, makeItems, makeText } from './budget.js'
import { compareText } from './characters.js'
import { fail } from './errors.js'
import { formatPercent } from './format-percent.js'
import { iterate } from './iterate.js'
import type { BinaryOperator, CompareOperator } from './nodes.js'
import { escapeMarkup, str } from './print.js'
import { Dict, Float, isText, Markup, Range, Tuple, textOf, typeName, Undefined, type Value, View } from './values.js'

export type Int = number | bigint | boolean

export function isInt(value: Value): value is Int {
  return (
    typeof value === 'bigint' || typeof value === 'boolean' || (typeof value === 'number' && Number.isInteger(value))
  )
}

export function isFloat(value: Value): value is number | Float {
  return value instanceof Float || (typeof value === 'number' && !Number.isInteger(value))
}

export function isNumber(value: Value): value is Int | Float {
  return typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean' || value instanceof Float
}

/** The int of `value`, in the smaller of its two forms. */
export function makeInt(value: bigint): number | bigint {
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value
}

export function makeFloat(value: number): number | Float {
  return Number.isInteger(value) ? new Float(value) : value
}

/** The value of a number as a double. */
export function toNumber(value: Int | Float): number {
  if (typeof value === 'number') return value
  return Number(value instanceof Float ? value.value : value)
}

function unsupportedOperands(operator: string, left: Value, right: Value): never {
  if (left instanceof Undefined) left.fail()
  if (right instanceof Undefined) right.fail()
  return fail(`unsupported operands for ${operator}: '${typeName(left)}' and '${typeName(right)}'`)
}

/** The double next to a / b. */
function trueDivide(a: bigint, b: bigint): number {
  const plainEnough = makeInt(a) === Number(a) && makeInt(b) === Number(b)
  if (plainEnough) return Number(a) / Number(b)
  // 70 bits of the quotient and whether anything follows: what Number() rounds correctly.
  const shift = Math.max(0, 70 + bits(b) - bits(a))
  const numerator = a << BigInt(shift)
  const quotient = numerator / b
  const sticky = numerator % b === 0n ? 0n : numerator < 0n === b < 0n ? 1n : -1n
  return Number(quotient * 2n + sticky) / 2 ** (shift + 1)
}

function floorDivide(a: bigint, b: bigint): bigint {
  const quotient = a / b
  return a % b !== 0n && a < 0n !== b < 0n ? quotient - 1n : quotient
}

/** Python's float modulo and floor division: the remainder has the divisor's sign. */
function floatDivmod(a: number, b: number): [quotient: number, remainder: number] {
  let remainder = a % b
  let quotient = (a - remainder) / b
  if (remainder !== 0) {
    if (b < 0 !== remainder < 0) {
      remainder += b
      quotient -= 1
    }
  } else remainder = b < 0 ? -0 : 0
  if (quotient === 0) return [a / b < 0 || Object.is(a / b, -0) ? -0 : 0, remainder]
  const floor = Math.floor(quotient)
  return [quotient - floor > 0.5 ? floor + 1 : floor, remainder]
}

function integerArithmetic(operator: BinaryOperator, left: Int, right: Int): Value {
  const a = BigInt(left)
  const b = BigInt(right)
  if (b === 0n && (operator === '/' || operator === '//' || operator === '%')) return fail('division by zero')
  switch (operator) {
    case '+':
      return makeInt(a + b)
    case '-':
      return makeInt(a - b)
    case '*':
      makeInteger(bits(a) + bits(b))
      return makeInt(a * b)
    case '/':
      return makeFloat(trueDivide(a, b))
    case '//':
      return makeInt(floorDivide(a, b))
    case '%':
      return makeInt(a - floorDivide(a, b) * b)
    case '**':
      if (b < 0n) return a === 0n ? fail('zero to a negative power') : makeFloat(Number(a) ** Number(b))
      makeInteger(a === 0n || a === 1n || a === -1n ? 1 : bits(a) * Number(b))
      return makeInt(a ** b)
  }
}

function bits(value: bigint): number {
  return value.toString(16).length * 4
}

function floatArithmetic(operator: BinaryOperator, a: number, b: number): Value {
  if (b === 0 && (operator === '/' || operator === '//' || operator === '%')) return fail('division by zero')
  switch (operator) {
    case '+':
      return makeFloat(a + b)
    case '-':
      return makeFloat(a - b)
    case '*':
      return makeFloat(a * b)
    case '/':
      return makeFloat(a / b)
    case '//':
      return makeFloat(floatDivmod(a, b)[0])
    case '%':
      return makeFloat(floatDivmod(a, b)[1])
    case '**': {
      if (a === 0 && b < 0) return fail('zero to a negative power')
      if (a < 0 && Number.isFinite(a) && !Number.isInteger(b) && Number.isFinite(b))
        return fail('a power that is complex')
      const power = a === 1 || (a === -1 && !Number.isFinite(b)) ? 1 : a ** b
      if (!Number.isFinite(power) && Number.isFinite(a) && Number.isFinite(b)) return fail('a power out of range')
      return makeFloat(power)
    }
  }
}

function add(left: Value, right: Value): Value | undefined {
  if (typeof left === 'string' && typeof right === 'string') {
    makeText(left.length + right.length)
    return left + right
  }
  if (isText(left) && isText(right)) return new Markup(escapeMarkup(left) + escapeMarkup(right))
  if (Array.isArray(left) && Array.isArray(right)) {
    makeItems(left.length + right.length)
    return [...left, ...right]
  }
  if (left instanceof Tuple && right instanceof Tuple) return new Tuple([...left.items, ...right.items])
  return undefined
}

function repeat(sequence: Value, times: Value): Value | undefined {
  if (!isInt(times)) return undefined
  const count = Math.max(0, Number(times))
  if (isText(sequence)) {
    const text = textOf(sequence, '*')
    if (text !== '') makeText(text.length * count)
    const repeated = text === '' ? '' : text.repeat(count)
    return sequence instanceof Markup ? new Markup(repeated) : repeated
  }
  if (!Array.isArray(sequence) && !(sequence instanceof Tuple)) return undefined
  const items = Array.isArray(sequence) ? sequence : sequence.items
  makeItems(items.length * count)
  const repeated: Value[] = []
  if (items.length > 0) for (let i = 0; i < count; ++i) repeated.push(...items)
  return Array.isArray(sequence) ? repeated : new Tuple(repeated)
}

export function binary(operator: BinaryOperator, left: Value, right: Value): Value {
  if (typeof left === 'number' && typeof right === 'number' && Number.isInteger(left) && Number.isInteger(right)) {
    const result =
      operator === '+' ? left + right : operator === '-' ? left - right : operator === '*' ? left * right : NaN
    if (Number.isSafeInteger(result)) return result + 0
  }
  if (isInt(left) && isInt(right)) return integerArithmetic(operator, left, right)
  if (isNumber(left) && isNumber(right)) return floatArithmetic(operator, toNumber(left), toNumber(right))
  let result: Value | undefined
  if (operator === '+') result = add(left, right)
  else if (operator === '*') result = repeat(left, right) ?? repeat(right, left)
  else if (operator === '%' && isText(left)) return formatPercent(left, right)
  return result === undefined ? unsupportedOperands(operator, left, right) : result
}

export function negate(value: Value): Value {
  if (value instanceof Float) return makeFloat(-value.value)
  if (typeof value === 'number') return value === 0 ? 0 : -value
  if (isInt(value)) return makeInt(-BigInt(value))
  return value instanceof Undefined ? value.fail() : fail(`bad operand for unary -: '${typeName(value)}'`)
}

export function positive(value: Value): Value {
  if (typeof value === 'boolean') return Number(value)
  if (isNumber(value)) return value
  return value instanceof Undefined ? value.fail() : fail(`bad operand for unary +: '${typeName(value)}'`)
}

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

/** `a ~ b`: what both print. */
export function concat(values: readonly Value[]): string {
  let text = ''
  for (const value of values) text += str(value)
  makeText(text.length)
  return text
}
