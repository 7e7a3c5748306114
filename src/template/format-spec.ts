/** str.format() and its language of field specifications. */

import { checkText, makeText } from './budget.js'
import { length, slice } from './characters.js'
import { fail, unsupported } from './errors.js'
import { formatFloat, formatInteger, group } from './format-number.js'
import { isFloat, isInt, isNumber, toNumber } from './numbers.js'
import { repr, str } from './print.js'
import { isText, type Named, typeName, Undefined, type Value } from './values.js'

const specification = /^(?:(.)?([<>=^]))?([-+ ]?)(z?)(#?)(0?)(\d*)([,_]?)(?:\.(\d+))?([a-zA-Z%]?)$/su

/** format(value, spec). */
function formatValue(value: Value, spec: string): string {
  if (spec === '') return str(value)
  if (!isText(value) && !isNumber(value)) {
    return value instanceof Undefined
      ? fail('unsupported format string passed to Undefined.__format__')
      : fail(`unsupported format string passed to ${typeName(value)}.__format__`)
  }
  const parts = specification.exec(spec)
  if (parts === null) return fail(`invalid format specifier '${spec}'`)
  const [, fillGiven, alignGiven, signGiven, z, alternate, zero, width, grouping, precisionGiven, type] =
    parts as string[]
  if (z !== '') unsupported("the option 'z' of a format")
  if (grouping !== '' && (type === 'n' || type === 'c' || (grouping === ',' && /^[xXob]$/.test(type!)))) {
    return fail(`cannot specify '${grouping}' with '${type}'`)
  }
  const precision = precisionGiven === undefined ? undefined : Number(precisionGiven)
  const numeric = !isText(value)
  const fill = fillGiven ?? (zero === '0' ? '0' : ' ')
  const align = alignGiven ?? (zero === '0' && numeric ? '=' : numeric ? '>' : '<')
  if (!numeric) {
    if ((type !== '' && type !== 's') || signGiven !== '' || align === '=' || alternate !== '' || grouping !== '') {
      return fail(`the format '${spec}' is none for a str`)
    }
    const text = str(value)
    return pad('', precision === undefined ? text : slice(text, 0, precision), fill, align, Number(width))
  }
  const sign = signGiven === '-' ? '' : signGiven!
  const common = { precision, sign, alternate: alternate === '#', grouping }
  if (isInt(value) && (type === '' || 'dxXobnc'.includes(type!))) {
    if (precision !== undefined) return fail('Precision not allowed in integer format specifier')
    if (type === '' && typeof value === 'boolean') return pad('', String(Number(value)), fill, align, Number(width))
    if (type === 'c') return pad('', String.fromCodePoint(Number(value)), fill, align, Number(width))
    const {
      sign: s,
      prefix,
      digits,
    } = formatInteger(BigInt(value), { type: type === '' || type === 'n' ? 'd' : type!, ...common })
    return pad(s + prefix, digits, fill, align, Number(width), grouping, /^[xXob]$/.test(type!) ? 4 : 3)
  }
  if (!'eEfFgGn%'.includes(type!) && !(type === '' && isFloat(value))) {
    return fail(`unknown format code '${type}' for object of type '${typeName(value)}'`)
  }
  const { sign: s, digits } = formatFloat(toNumber(value), { type: type === 'n' ? 'g' : type!, ...common })
  return pad(s, digits, fill, align, Number(width), grouping)
}

/** @param grouping between groups of `group` digits, the zeros of a fill among them */
function pad(sign: string, body: string, fill: string, align: string, width: number, grouping = '', size = 3): string {
  const missing = Math.max(0, width - length(sign) - length(body))
  makeText(missing)
  if (align === '=' && fill === '0' && grouping !== '' && missing > 0) {
    const digits = body.replaceAll(grouping, '')
    const tail = digits.replace(size === 3 ? /^\d*/ : /^[\da-fA-F]*/, '')
    return sign + group(digits, grouping, size, width - sign.length - tail.length)
  }
  const left = align === '>' ? missing : align === '^' ? missing >> 1 : 0
  if (align === '=') return sign + fill.repeat(missing) + body
  return fill.repeat(left) + sign + body + fill.repeat(missing - left)
}

/** How the attributes and items in a field's name are looked up. */
export interface Lookup {
  attribute(object: Value, name: string): Value
  item(object: Value, key: Value): Value
}

const fieldName = /^([^.[]*)((?:\.[^.[]+|\[[^\]]+\])*)$/s

/** text.format(*args, **named) */
export function format(text: string, args: readonly Value[], named: Named, lookup: Lookup): string {
  let automatic = 0
  let manual = false
  const resolve = (name: string): Value => {
    const parts = fieldName.exec(name)
    if (parts === null) return fail(`'${name}' is no field of a format`)
    const [, first, rest] = parts as unknown as [string, string, string]
    let value: Value | undefined
    if (first === '') {
      if (manual) return fail('cannot switch from manual field specification to automatic field numbering')
      value = args[automatic++]
    } else if (/^\d+$/.test(first)) {
      if (automatic > 0) return fail('cannot switch from automatic field numbering to manual field specification')
      manual = true
      value = args[Number(first)]
    } else value = named?.get(first)
    if (value === undefined) return fail(`a format has no value for the field '${first}'`)
    for (const part of rest.match(/\.[^.[]+|\[[^\]]+\]/gs) ?? []) {
      if (part[0] === '.') value = lookup.attribute(value, part.slice(1))
      else {
        const key = part.slice(1, -1)
        value = lookup.item(value, /^\d+$/.test(key) ? Number(key) : key)
      }
    }
    return value
  }
  const render = (source: string, nesting: number): string => {
    if (nesting > 2) return fail('Max string recursion exceeded')
    let result = ''
    for (let at = 0; at < source.length; ) {
      const c = source[at]!
      if (c !== '{' && c !== '}') {
        const end = source.slice(at).search(/[{}]/)
        result += end < 0 ? source.slice(at) : source.slice(at, at + end)
        at = end < 0 ? source.length : at + end
      } else if (source[at + 1] === c) {
        result += c
        at += 2
      } else if (c === '}') return fail("Single '}' encountered in format string")
      else {
        let depth = 1
        let end = at + 1
        for (; end < source.length && depth > 0; ++end) depth += source[end] === '{' ? 1 : source[end] === '}' ? -1 : 0
        if (depth > 0) return fail("expected '}' before end of string")
        result += replacement(source.slice(at + 1, end - 1), nesting)
        at = end
      }
      checkText(result.length)
    }
    return result
  }
  const replacement = (inner: string, nesting: number): string => {
    const [, name, conversion, spec] =
      /^([^!:[]*(?:\[[^\]]*\][^!:[]*)*)(?:!(.))?(?::(.*))?$/s.exec(inner) ?? fail('bad field')
    const value = resolve(name!)
    const text = spec === undefined ? '' : render(spec, nesting + 1)
    if (conversion === undefined) return formatValue(value, text)
    if (conversion === 'r') return formatValue(repr(value), text)
    return conversion === 's' ? formatValue(str(value), text) : unsupported(`the conversion !${conversion}`)
  }
  return render(text, 0)
}
