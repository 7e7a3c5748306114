/** Filters over sequences and mappings. Those that Python writes as generators give their values once. */

import { flag, integer } from './arguments.js'
import { binary } from './arithmetic.js'
import { attributeGetter, attributesGetter, ignoreCase, sorted } from './attribute-path.js'
import { getAttribute } from './attributes.js'
import { checkText, makeItems } from './budget.js'
import { order } from './comparison.js'
import { fail } from './errors.js'
import { iterate, lazy, list, reversed, size } from './iterate.js'
import { native, table } from './native.js'
import { str } from './print.js'
import { Dict, Group, isText, Lazy, Markup, Tuple, textOf, typeName, Undefined, type Value, View } from './values.js'

function less(a: Value, b: Value): number {
  return order(a, b, '<')
}

function* unique(value: Value, caseSensitive: boolean, attribute: Value | undefined): Generator<Value> {
  const get = attributeGetter(attribute)
  const seen = new Dict()
  const missing = new Dict()
  for (const item of iterate(value)) {
    const key = caseSensitive ? get(item) : ignoreCase(get(item))
    const known = key instanceof Undefined ? missing : seen
    const name = key instanceof Undefined ? null : key
    if (!known.has(name)) {
      known.set(name, true)
      yield item
    }
  }
}

function extreme(value: Value, sign: 1 | -1, caseSensitive: boolean, attribute: Value | undefined): Value {
  const get = attributeGetter(attribute)
  const key = (item: Value) => (caseSensitive ? get(item) : ignoreCase(get(item)))
  let best: { item: Value; key: Value } | undefined
  for (const item of iterate(value)) {
    const candidate = { item, key: key(item) }
    if (best === undefined || sign * less(candidate.key, best.key) > 0) best = candidate
  }
  return best === undefined ? new Undefined('No aggregated item, sequence was empty.') : best.item
}

function dictSort(value: Value, caseSensitive: boolean, by: Value, reverse: boolean): Value {
  if (by !== 'key' && by !== 'value') return fail('You can only sort by either "key" or "value"')
  if (value instanceof Undefined) return value.fail()
  if (!(value instanceof Dict)) return fail(`'${typeName(value)}' object has no attribute 'items'`)
  const entries = [...value.entries()]
  const pick = ([key, item]: [Value, Value]) => (by === 'key' ? key : item)
  const key = (entry: [Value, Value]) => (caseSensitive ? pick(entry) : ignoreCase(pick(entry)))
  return sorted(entries, key, less, reverse).map((entry) => new Tuple(entry))
}

function groupBy(value: Value, attribute: Value, fallback: Value, caseSensitive: boolean): Value {
  const get = attributeGetter(attribute, fallback)
  const key = (item: Value) => (caseSensitive ? get(item) : ignoreCase(get(item)))
  const groups: { key: Value; items: Value[] }[] = []
  for (const item of sorted(list(value), key, less, false)) {
    const last = groups.at(-1)
    if (last !== undefined && less(last.key, key(item)) === 0) last.items.push(item)
    else groups.push({ key: key(item), items: [item] })
  }
  return groups.map(({ key, items }) => new Group(caseSensitive ? key : get(items[0]!), items))
}

function* batch(value: Value, count: number, fill: Value): Generator<Value> {
  let row: Value[] = []
  for (const item of iterate(value)) {
    if (row.length === count) {
      yield row
      row = []
    }
    row.push(item)
  }
  if (row.length === 0) return
  makeItems(fill === null ? 0 : count)
  while (fill !== null && row.length < count) row.push(fill)
  yield row
}

function* slices(value: Value, count: number, fill: Value): Generator<Value> {
  const items: Value[] = list(value)
  if (count === 0) fail('integer division or modulo by zero')
  const each = Math.floor(items.length / count)
  const extra = items.length - each * count
  let offset = 0
  for (let i = 0; i < count; ++i) {
    const begin = offset + i * each
    if (i < extra) ++offset
    const part = items.slice(begin, offset + (i + 1) * each)
    if (fill !== null && i >= extra) part.push(fill)
    yield part
  }
}

function* items(value: Value): Generator<Value> {
  if (value instanceof Dict) yield* new View('items', value)[Symbol.iterator]()
  else if (!(value instanceof Undefined)) fail('Can only get item pairs from a mapping.')
}

function sum(value: Value, attribute: Value | undefined, start: Value): Value {
  if (isText(start)) return fail("sum() can't sum strings")
  const get = attributeGetter(attribute)
  let total: Value = start
  for (const item of iterate(value)) total = binary('+', total, get(item))
  return total
}

/** `|attr('name')`: the attribute only, not the item of that name. */
function attributeOnly(object: Value, name: Value): Value {
  const key = textOf(name, 'attr')
  if (object instanceof Undefined) return object.fail()
  const found = getAttribute(object, key)
  const item = object instanceof Dict ? object.get(key) : undefined
  return item !== undefined && found === item ? new Undefined(`no attribute '${key}'`) : found
}

function first(value: Value): Value {
  for (const item of iterate(value)) return item
  return new Undefined('No first item, sequence was empty.')
}

function last(value: Value): Value {
  const items = reversed(value)
  return items.length > 0 ? items[0]! : new Undefined('No last item, sequence was empty.')
}

function reverse(value: Value): Value {
  if (typeof value === 'string') return Array.from(value).reverse().join('')
  if (value instanceof Markup) return new Markup(Array.from(value.text).reverse().join(''))
  if (value instanceof Lazy) return list(value).reverse()
  return lazy('reversed', reversed(value))
}

function length(value: Value): Value {
  const count = size(value)
  if (count !== undefined) return count
  return fail(`object of type '${typeName(value)}' has no len()`)
}

function join(value: Value, separator: Value = '', attribute: Value = null): Value {
  const get = attributeGetter(attribute)
  const parts: string[] = []
  const by = str(separator)
  let size = 0
  for (const item of iterate(value)) {
    const part = str(get(item))
    size += part.length + by.length
    checkText(size)
    parts.push(part)
  }
  return parts.join(by)
}

export const sequenceFilters = table(
  native('attr', 'name', attributeOnly),
  native('batch', 'linecount fill_with?', (value: Value, count: Value, fill: Value = null) =>
    lazy('do_batch', batch(value, integer(count, 0), fill)),
  ),
  native('count', '/', length),
  native(
    'dictsort',
    'case_sensitive? by? reverse?',
    (value: Value, sensitive?: Value, by: Value = 'key', back?: Value) =>
      dictSort(value, flag(sensitive, false), by, flag(back, false)),
  ),
  native('first', '', first),
  native(
    'groupby',
    'attribute default? case_sensitive?',
    (value: Value, attribute: Value, fallback: Value = null, sensitive?: Value) =>
      groupBy(value, attribute, fallback, flag(sensitive, false)),
  ),
  native('items', '', (value: Value) => lazy('do_items', items(value))),
  native('join', 'd? attribute?', join),
  native('last', '', last),
  native('length', '/', length),
  native('list', '', (value: Value) => list(value)),
  native('max', 'case_sensitive? attribute?', (value: Value, sensitive?: Value, attribute?: Value) =>
    extreme(value, 1, flag(sensitive, false), attribute),
  ),
  native('min', 'case_sensitive? attribute?', (value: Value, sensitive?: Value, attribute?: Value) =>
    extreme(value, -1, flag(sensitive, false), attribute),
  ),
  native('reverse', '', reverse),
  native('slice', 'slices fill_with?', (value: Value, count: Value, fill: Value = null) =>
    lazy('sync_do_slice', slices(value, integer(count, 0), fill)),
  ),
  native(
    'sort',
    'reverse? case_sensitive? attribute?',
    (value: Value, back?: Value, sensitive?: Value, attribute?: Value) => {
      const get = attributesGetter(attribute)
      const key = (item: Value): Value => (flag(sensitive, false) ? get(item) : get(item).map(ignoreCase))
      return sorted(list(value), key, less, flag(back, false))
    },
  ),
  native('sum', 'attribute? start?', (value: Value, attribute?: Value, start: Value = 0) =>
    sum(value, attribute, start),
  ),
  native('unique', 'case_sensitive? attribute?', (value: Value, sensitive?: Value, attribute?: Value) =>
    lazy('sync_do_unique', unique(value, flag(sensitive, false), attribute)),
  ),
)
