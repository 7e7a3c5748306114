/** Iteration, length, positions. */

import { makeItems, step } from './budget.js'
import { points, length as textLength } from './characters.js'
import { fail } from './errors.js'
import { Dict, Lazy, Loop, Markup, Range, Tuple, typeName, Undefined, type Value, View } from './values.js'

function* rangeItems(range: Range): Generator<Value> {
  for (let i = 0; i < range.length; ++i) yield range.at(i)
}

/** Whether iter(value) succeeds. */
export function isIterable(value: Value): boolean {
  if (typeof value === 'string' || Array.isArray(value)) return true
  const kinds = [Dict, Tuple, View, Range, Lazy, Markup, Undefined, Loop]
  return typeof value === 'object' && value !== null && kinds.some((kind) => value instanceof kind)
}

/** The items of `value` in order; what cannot be iterated is refused at once. */
export function iterate(value: Value): Iterable<Value> {
  if (Array.isArray(value)) return value
  if (typeof value === 'string') return points(value)
  if (value instanceof Dict) return value.keys()
  if (value instanceof Tuple) return value.items
  if (value instanceof View) return value
  if (value instanceof Range) return rangeItems(value)
  if (value instanceof Markup) return Array.from(value.text, (c) => new Markup(c))
  if (value instanceof Undefined) return []
  if (value instanceof Lazy) {
    const { iterator } = value
    // Left open when a loop breaks off: a generator goes on where it was.
    return { [Symbol.iterator]: () => ({ next: () => iterator.next() }) }
  }
  if (value instanceof Loop) return fail('iteration over loop itself')
  return fail(`'${typeName(value)}' object is not iterable`)
}

export function list(value: Value): Value[] {
  const items: Value[] = []
  for (const item of iterate(value)) {
    items.push(item)
    if ((items.length & 255) === 0) makeItems(items.length)
  }
  return items
}

/** len(value), or undefined where it has none. */
export function size(value: Value): number | undefined {
  if (typeof value === 'string') return textLength(value)
  if (Array.isArray(value)) return value.length
  if (value instanceof Dict) return value.size
  if (value instanceof Tuple) return value.items.length
  if (value instanceof View) return value.dict.size
  if (value instanceof Range) return value.length
  if (value instanceof Markup) return textLength(value.text)
  if (value instanceof Undefined) return 0
  if (value instanceof Loop) return value.state.length()
  return undefined
}

/** Items from the last to the first, where there is such an order. */
export function reversed(value: Value): Value[] {
  if (typeof value === 'string') return Array.from(value).reverse()
  if (Array.isArray(value)) return value.toReversed()
  if (value instanceof Tuple) return value.items.toReversed()
  if (value instanceof Dict || value instanceof View || value instanceof Range) return list(value).reverse()
  if (value instanceof Undefined) return []
  return fail(`'${typeName(value)}' object is not reversible`)
}

/** A generator under the name of the Python function that makes it. */
export function lazy(name: string, items: Iterable<Value>): Lazy {
  const source = items
  function* counted(): Generator<Value> {
    for (const item of source) {
      step()
      yield item
    }
  }
  return new Lazy(name, counted())
}
