/** Python's numbers: which value is one, and its plainest form. Whole numbers are ints, `Float` is a float that is whole. */

import { Float, type Value } from './values.js'

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
