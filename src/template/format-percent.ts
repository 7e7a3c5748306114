/** `text % values`: printf-style formatting. */

import { makeText } from './budget.js'
import { length, slice } from './characters.js'
import { fail, unsupported } from './errors.js'
import { formatFloat, formatInteger } from './format-number.js'
import { isInt, isNumber, toNumber } from './numbers.js'
import { repr, str } from './print.js'
import { Dict, Markup, Range, Tuple, textOf, typeName, Undefined, type Value } from './values.js'

const directive = /%(?:\(([^)]{0,1000})\))?([-+ #0]*)(\*|\d+)?(?:\.(\*|\d+)?)?([hlL]?)(.?)/gs

export function formatPercent(format: Value, values: Value): string {
  if (format instanceof Markup) unsupported('% on text that is marked as safe')
  const text = textOf(format, '%')
  const args = values instanceof Tuple ? values.items : [values]
  let used = 0
  let byName = false
  const next = (): Value => (used < args.length ? args[used++]! : fail('not enough arguments for format string'))
  const count = (given: string | undefined): number | undefined => {
    if (given !== '*') return given === undefined ? undefined : Number(given)
    const value = next()
    return isInt(value) ? Number(value) : fail('* wants int')
  }
  const result = text.replace(directive, (all, name, flags, width, precision, _length, type) => {
    if (type === '%' && all === '%%') return '%'
    if (type === '') return fail('incomplete format')
    const fieldWidth = count(width)
    const hasPoint = all.slice(1 + (name === undefined ? 0 : name.length + 2)).includes('.')
    const digits = count(precision) ?? (hasPoint ? 0 : undefined)
    if (type === '%') return '%'
    let value: Value
    if (name !== undefined) {
      byName = true
      if (!(values instanceof Dict)) return fail('format requires a mapping')
      const found = values.get(name)
      value = found === undefined ? fail(`no key ${name}`) : found
    } else value = next()
    return field(value, flags, fieldWidth, digits, type)
  })
  // Whatever can be subscribed may hold more than the text names.
  const isMapping = [Dict, Array, Undefined, Range].some((kind) => values instanceof kind)
  if (!byName && used < args.length && !isMapping) {
    return fail('not all arguments converted during string formatting')
  }
  makeText(result.length)
  return result
}

function field(value: Value, flags: string, width: number | undefined, precision: number | undefined, type: string) {
  const left = flags.includes('-')
  const zero = flags.includes('0') && !left
  const sign = flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : ''
  const alternate = flags.includes('#')
  const pad = (text: string) => {
    const missing = Math.abs(width ?? 0) - length(text)
    if (missing > 0) makeText(missing)
    const space = ' '.repeat(Math.max(0, missing))
    return left || (width ?? 0) < 0 ? text + space : space + text
  }
  const number = ({ sign, prefix, digits }: { sign: string; prefix: string; digits: string }) => {
    const missing = zero ? (width ?? 0) - sign.length - prefix.length - digits.length : 0
    if (missing > 0) makeText(missing)
    return pad(sign + prefix + '0'.repeat(Math.max(0, missing)) + digits)
  }
  switch (type) {
    case 's':
    case 'r':
    case 'a': {
      if (type === 'a') unsupported('%a')
      const text = type === 's' ? str(value) : repr(value)
      return pad(precision === undefined ? text : slice(text, 0, precision))
    }
    case 'c':
      if (typeof value === 'string' && length(value) === 1) return pad(value)
      return isInt(value) ? pad(String.fromCodePoint(Number(value))) : fail('%c requires int or char')
    case 'd':
    case 'i':
    case 'u': {
      if (!isNumber(value)) return fail(`%${type} format: a real number is required, not ${typeName(value)}`)
      const whole = isInt(value) ? BigInt(value) : truncated(toNumber(value))
      return number(formatInteger(whole, { type: 'd', precision, sign, alternate }))
    }
    case 'x':
    case 'X':
    case 'o':
      if (!isInt(value)) return fail(`%${type} format: an integer is required, not ${typeName(value)}`)
      return number(formatInteger(BigInt(value), { type, precision, sign, alternate }))
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
      if (!isNumber(value))
        return value instanceof Undefined ? value.fail() : fail(`must be real number, not ${typeName(value)}`)
      return number(formatFloat(toNumber(value), { type, precision, sign, alternate }))
    default:
      return fail(`unsupported format character '${type}'`)
  }
}

/** int(value) of a float. */
export function truncated(value: number): bigint {
  return Number.isFinite(value) ? BigInt(Math.trunc(value)) : fail('cannot convert float infinity or NaN to integer')
}
