/** Python's arithmetic: on ints of any size and floats, and what + * % mean for texts and lists. */

import { makeInteger, makeItems, makeText } from './budget.js'
import { fail } from './errors.js'
import { formatPercent } from './format-percent.js'
import type { BinaryOperator } from './nodes.js'
import { type Int, isInt, isNumber, makeFloat, makeInt, toNumber } from './numbers.js'
import { escapeMarkup } from './print.js'
import { Float, isText, Markup, Tuple, textOf, typeName, Undefined, type Value } from './values.js'

export function unsupportedOperands(operator: string, left: Value, right: Value): never {
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
