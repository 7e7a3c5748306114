/** What a caller passes, as Python's values: a copy made of plain data, so that nothing of JavaScript is within a template's reach. */

import { Float, keysInOrder } from '../files/exact-json.js'
import { TemplateError } from './errors.js'
import { Dict, type Value } from './values.js'

const maxNesting = 500

/**
 * Numbers are what JSON.stringify writes for them: whole ones below 1e21 are ints, all others floats. bigints are ints, {@link Float}s
 * are floats. Typed arrays are lists, Maps dicts; a property that is undefined is not there.
 *
 * @throws TemplateError of kind runtime for functions and symbols, and for values nested too deep or in a circle
 */
export function toValue(data: unknown, nesting = 0): Value {
  switch (typeof data) {
    case 'string':
    case 'boolean':
      return data
    case 'bigint':
      return data >= Number.MIN_SAFE_INTEGER && data <= Number.MAX_SAFE_INTEGER ? Number(data) : data
    case 'number':
      if (!Number.isInteger(data) || Number.isSafeInteger(data)) return data + 0
      return Math.abs(data) < 1e21 ? BigInt(data) : new Float(data)
    case 'object':
      break
    default:
      throw new TemplateError('runtime', `a ${typeof data} cannot be passed to a template`)
  }
  if (data === null || data instanceof Float) return data
  if (nesting > maxNesting)
    throw new TemplateError('runtime', `values nested deeper than ${maxNesting}, or in a circle`)
  if (Array.isArray(data)) return data.map((item) => toValue(item ?? null, nesting + 1))
  if (ArrayBuffer.isView(data) && !(data instanceof DataView)) {
    return Array.from(data as unknown as Iterable<number | bigint>, (item) => toValue(item))
  }
  const { toJSON } = data as { toJSON?: unknown }
  if (typeof toJSON === 'function') return toValue(toJSON.call(data), nesting + 1)
  const dict = new Dict()
  const entries =
    data instanceof Map ? data : keysInOrder(data).map((key) => [key, (data as Record<string, unknown>)[key]] as const)
  for (const [key, value] of entries) if (value !== undefined) dict.set(toValue(key), toValue(value, nesting + 1))
  return dict
}
