/** Every filter and test by name, and those that call others by name. */

import { attributeGetter } from './attribute-path.js'
import { fail, TemplateError } from './errors.js'
import { iterate, lazy } from './iterate.js'
import { type Native, native } from './native.js'
import { sequenceFilters } from './sequence-filters.js'
import { tests as plainTests } from './tests.js'
import { textFilters } from './text-filters.js'
import { isText, type Named, textOf, truth, Undefined, type Value } from './values.js'

type Table = ReadonlyMap<string, Native>

function named(table: Table, kind: 'filter' | 'test', name: Value): Native {
  const found = isText(name) ? table.get(textOf(name, kind)) : undefined
  if (found !== undefined) return found
  if (name instanceof Undefined) return name.fail()
  throw new TemplateError(
    'unsupported',
    `there is no ${kind} named '${isText(name) ? textOf(name, kind) : typeof name}'`,
  )
}

function mapping(args: readonly Value[], given: Named): (item: Value) => Value {
  if (args.length === 0 && given?.has('attribute')) {
    for (const key of given.keys()) {
      if (key !== 'attribute' && key !== 'default') fail(`map: unexpected keyword argument '${key}'`)
    }
    return attributeGetter(given.get('attribute'), given.get('default') ?? null)
  }
  const [name, ...rest] = args
  if (name === undefined) return fail('map requires a filter argument')
  return (item) => named(filters, 'filter', name).invoke(item, rest, given)
}

function condition(byAttribute: boolean, args: readonly Value[], given: Named): (item: Value) => boolean {
  const rest = [...args]
  let get = (item: Value): Value => item
  if (byAttribute) {
    if (rest.length === 0) return fail('Missing parameter for attribute name')
    get = attributeGetter(rest.shift())
  }
  const name = rest.shift()
  if (name === undefined) return (item) => truth(get(item))
  return (item) => truth(named(tests, 'test', name).invoke(get(item), rest, given))
}

function* mapped(value: Value, args: readonly Value[], given: Named): Generator<Value> {
  if (!truth(value)) return
  const apply = mapping(args, given)
  for (const item of iterate(value)) yield apply(item)
}

function selecting(name: string, byAttribute: boolean, wanted: boolean): Native {
  function* selected(value: Value, args: readonly Value[], given: Named): Generator<Value> {
    if (!truth(value)) return
    const holds = condition(byAttribute, args, given)
    for (const item of iterate(value)) if (holds(item) === wanted) yield item
  }
  return { name, invoke: (value, args, given) => lazy(`sync_do_${name}`, selected(value!, args, given)) }
}

export const filters: Table = new Map([
  ...textFilters,
  ...sequenceFilters,
  ...[
    selecting('select', false, true),
    selecting('reject', false, false),
    selecting('selectattr', true, true),
    selecting('rejectattr', true, false),
    {
      name: 'map',
      invoke: (value: Value | undefined, args: readonly Value[], given: Named) =>
        lazy('sync_do_map', mapped(value!, args, given)),
    },
  ].map((entry) => [entry.name, entry] as const),
])

export const tests: Table = new Map([
  ...plainTests,
  ['filter', native('filter', '', (name: Value) => isText(name) && filters.has(textOf(name, 'filter')))],
  ['test', native('test', '', (name: Value) => isText(name) && tests.has(textOf(name, 'test')))],
])
