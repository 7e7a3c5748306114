/** Checks of the arguments of natives. */

import { fail } from './errors.js'
import { isInt, isNumber, toNumber } from './numbers.js'
import { truth, typeName, Undefined, type Value } from './values.js'

/** An int argument; `fallback` where it is left out. */
export function integer(value: Value | undefined, fallback: number): number {
  if (value === undefined) return fallback
  if (isInt(value)) return Number(value)
  return value instanceof Undefined
    ? value.fail()
    : fail(`'${typeName(value)}' object cannot be interpreted as an integer`)
}

/** A position in a sequence; `fallback` where it is left out or None. */
export function position(value: Value | undefined, fallback: number): number {
  return value === null ? fallback : integer(value, fallback)
}

export function flag(value: Value | undefined, fallback: boolean): boolean {
  return value === undefined ? fallback : truth(value)
}

export function float(value: Value): number {
  if (isNumber(value)) return toNumber(value)
  return value instanceof Undefined ? value.fail() : fail(`must be real number, not ${typeName(value)}`)
}

/** Where a slice of a sequence begins or ends: negative positions count from the end, others stop at its ends. */
export function clamp(position: number, length: number): number {
  return position < 0 ? Math.max(0, position + length) : Math.min(position, length)
}
