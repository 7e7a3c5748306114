/** `attribute='a.b.0'`, as map, sort, groupby, … take it. */

import { getItem } from './attributes.js'
import { fail } from './errors.js'
import { isText, textOf, Undefined, type Value } from './values.js'

function parts(path: Value | undefined): Value[] {
  if (path === undefined || path === null) return []
  if (!isText(path)) return [path]
  return textOf(path, 'attribute')
    .split('.')
    .map((part) => (/^\p{Nd}+$/u.test(part) ? Number(part) : part))
}

/** What lies at `path` of a value; `fallback` for each part that is missing. */
export function attributeGetter(path: Value | undefined, fallback: Value = null): (item: Value) => Value {
  const steps = parts(path)
  return (item) => {
    let value = item
    for (const part of steps) {
      value = getItem(value, part)
      if (fallback !== null && value instanceof Undefined) value = fallback
    }
    return value
  }
}

/** The values at several paths with commas between them. */
export function attributesGetter(paths: Value | undefined): (item: Value) => Value[] {
  const getters = isText(paths ?? null)
    ? textOf(paths!, 'attribute')
        .split(',')
        .map((path) => attributeGetter(path))
    : [attributeGetter(paths)]
  return (item) => getters.map((get) => get(item))
}

/** Text in lower case, other values as they are. */
export function ignoreCase(value: Value): Value {
  return isText(value) ? textOf(value, 'case').toLowerCase() : value
}

/** Values sorted by keys, the order of equal ones kept. */
export function sorted<T>(
  items: readonly T[],
  key: (item: T) => Value,
  less: (a: Value, b: Value) => number,
  reverse: boolean,
): T[] {
  const keyed = items.map((item) => ({ item, key: key(item) }))
  keyed.sort((a, b) => {
    const order = less(a.key, b.key)
    if (Number.isNaN(order)) return fail('values that have no order')
    return reverse ? -order : order
  })
  return keyed.map((entry) => entry.item)
}
