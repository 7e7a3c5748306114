/** Numbers under the options that `%` and format() share. */

import { floatText } from '../files/exact-json.js'
import { fail } from './errors.js'

const maxPrecision = 1000

export interface NumberFormat {
  type: string
  precision: number | undefined
  /** '' or '+' or ' ': before what is not negative. */
  sign: string
  alternate: boolean
  /** '' or ',' or '_': between groups of digits. */
  grouping?: string
}

export interface Digits {
  sign: string
  /** '0x' and the like. */
  prefix: string
  digits: string
}

/** The digits before a point or an exponent in groups: of 3 in base 10, of 4 in others. The whole part has `width` characters or more. */
export function group(digits: string, separator: string, size: number, width = 0): string {
  if (separator === '') return digits
  const ofBase = size === 3 ? /^\d*/ : /^[\da-fA-F]*/
  let whole = ofBase.exec(digits)![0]
  const rest = digits.slice(whole.length)
  while (whole.length + Math.floor((whole.length - 1) / size) < width) whole = `0${whole}`
  const parts: string[] = []
  for (let end = whole.length; end > 0; end -= size) parts.unshift(whole.slice(Math.max(0, end - size), end))
  return parts.join(separator) + rest
}

export function formatInteger(value: bigint, format: NumberFormat): Digits {
  const magnitude = value < 0n ? -value : value
  const radix = { x: 16, X: 16, o: 8, b: 2 }[format.type] ?? 10
  let digits = magnitude.toString(radix)
  if (format.type === 'X') digits = digits.toUpperCase()
  if (format.precision !== undefined) digits = digits.padStart(format.precision, '0')
  digits = group(digits, format.grouping ?? '', radix === 10 ? 3 : 4)
  const prefix = format.alternate && radix !== 10 ? `0${format.type}` : ''
  return { sign: value < 0n ? '-' : format.sign, prefix, digits }
}

/** `value` · 10^`power`, value ≥ 0, as the exact binary value says, halves rounded to even. */
export function scaled(value: number, power: number): bigint {
  let denominator = 1n
  let mantissa = value
  while (!Number.isInteger(mantissa)) {
    mantissa *= 2
    denominator *= 2n
  }
  let numerator = BigInt(mantissa)
  if (power >= 0) numerator *= 10n ** BigInt(power)
  else denominator *= 10n ** BigInt(-power)
  const quotient = numerator / denominator
  const twice = (numerator % denominator) * 2n
  return twice > denominator || (twice === denominator && quotient % 2n === 1n) ? quotient + 1n : quotient
}

function fixed(value: number, precision: number): string {
  if (precision > maxPrecision) return fail('precision too large')
  const digits = scaled(value, precision)
    .toString()
    .padStart(precision + 1, '0')
  return precision === 0 ? digits : `${digits.slice(0, -precision)}.${digits.slice(-precision)}`
}

/** The first `precision` + 1 digits and the power of ten of the first. */
function leading(value: number, precision: number): [digits: string, exponent: number] {
  if (precision > maxPrecision) return fail('precision too large')
  if (value === 0) return ['0'.repeat(precision + 1), 0]
  let exponent = Number(value.toExponential().split('e')[1])
  let digits = scaled(value, precision - exponent).toString()
  if (digits.length !== precision + 1) {
    exponent += digits.length - precision - 1
    digits = scaled(value, precision - exponent).toString()
  }
  return [digits, exponent]
}

function exponential(value: number, precision: number): string {
  const [digits, exponent] = leading(value, precision)
  const mantissa = precision === 0 ? digits : `${digits[0]}.${digits.slice(1)}`
  return `${mantissa}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`
}

function general(value: number, precision: number, alternate: boolean, plainBelow: number): string {
  const digits = precision === 0 ? 1 : precision
  if (value === 0) return alternate && digits > 1 ? `0.${'0'.repeat(digits - 1)}` : '0'
  const [, exponent] = leading(value, digits - 1)
  const text =
    exponent < -4 || exponent >= Math.min(digits, plainBelow)
      ? exponential(value, digits - 1)
      : fixed(value, Math.max(0, digits - 1 - exponent))
  if (alternate || !/\./.test(text)) return text
  const [mantissa, power] = text.split('e') as [string, string | undefined]
  const trimmed = mantissa.replace(/\.?0+$/, '')
  return power === undefined ? trimmed : `${trimmed}e${power}`
}

export function formatFloat(value: number, format: NumberFormat): Digits {
  const { type, alternate } = format
  const negative = value < 0 || Object.is(value, -0)
  const magnitude = Math.abs(value)
  const sign = negative ? '-' : format.sign
  const upper = type !== type.toLowerCase()
  if (!Number.isFinite(value)) {
    const digits = (Number.isNaN(value) ? 'nan' : 'inf') + (type === '%' ? '%' : '')
    return { sign: Number.isNaN(value) ? format.sign : sign, prefix: '', digits: upper ? digits.toUpperCase() : digits }
  }
  const precision = format.precision ?? 6
  let digits: string
  if (type === 'f' || type === 'F') digits = fixed(magnitude, precision)
  else if (type === '%') digits = `${fixed(magnitude * 100, precision)}%`
  else if (type === 'e' || type === 'E') digits = exponential(magnitude, precision)
  else if (type === 'g' || type === 'G') digits = general(magnitude, precision, alternate, Infinity)
  else if (format.precision === undefined) digits = floatText(magnitude)
  else {
    // No type: as 'g', with at least one digit behind the point.
    digits = general(magnitude, precision, alternate, Math.max(precision, 1) - 1)
    if (/^\d+$/.test(digits)) digits += '.0'
  }
  if (alternate && !digits.includes('.')) digits = digits.replace(/^\d+/, '$&.')
  if (upper) digits = digits.toUpperCase()
  return { sign, prefix: '', digits: group(digits, format.grouping ?? '', 3) }
}
