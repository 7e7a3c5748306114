/** Functions that every template can call. */

import { integer } from './arguments.js'
import { copyDict, dictFromKeys } from './attributes.js'
import { strftime } from './clock.js'
import { fail, TemplateError, unsupported } from './errors.js'
import { iterate, list } from './iterate.js'
import { type Native, native } from './native.js'
import { isInt } from './numbers.js'
import { str } from './print.js'
import {
  Callable,
  Dict,
  isText,
  type Named,
  Namespace,
  Range,
  Tuple,
  textOf,
  typeName,
  Undefined,
  type Value,
} from './values.js'

/** What the sandbox lets range() make. */
const maxRange = 100_000

function range(...given: Value[]): Value {
  const numbers = given.map((value) => {
    if (isInt(value)) return integer(value, 0)
    return value instanceof Undefined
      ? value.fail()
      : fail(`'${typeName(value)}' object cannot be interpreted as an integer`)
  })
  if (numbers.length < 1 || numbers.length > 3) return fail('range takes one to three arguments')
  const [start, stop, step = 1] = numbers.length === 1 ? [0, numbers[0]!] : (numbers as [number, number, number?])
  if (step === 0) return fail('range() arg 3 must not be zero')
  const made = new Range(start, stop, step)
  return made.length > maxRange ? fail(`range of more than ${maxRange} items`) : made
}

/** dict(mapping or pairs, **named) */
function dict(args: readonly Value[], named: Named): Dict {
  if (args.length > 1) return fail(`dict expected at most 1 argument, got ${args.length}`)
  const [source] = args
  const made = source instanceof Dict ? copyDict(source) : new Dict()
  if (source !== undefined && !(source instanceof Dict)) {
    for (const pair of iterate(source)) {
      const [key, value, ...more] = list(pair)
      if (key === undefined || value === undefined || more.length > 0) return fail('dict: expected pairs')
      made.set(key, value)
    }
  }
  for (const [key, value] of named ?? []) made.set(key, value)
  return made
}

/** A namespace refuses names that begin with an underscore. */
export function checkAttribute(name: Value): void {
  if (isText(name) && textOf(name, 'namespace').startsWith('_'))
    fail(`a namespace cannot have an attribute '${str(name)}'`)
}

function namespace(args: readonly Value[], named: Named): Value {
  const attributes = dict(args, named)
  for (const name of attributes.keys()) checkAttribute(name)
  return new Namespace(attributes)
}

function cycler(...items: Value[]): Value {
  if (items.length === 0) return fail('at least one item has to be provided')
  const attributes = new Map<string, Value>([['items', new Tuple(items)]])
  const moveTo = (position: number) => {
    attributes.set('pos', position)
    attributes.set('current', items[position]!)
    return null
  }
  const next = () => {
    const position = attributes.get('pos') as number
    moveTo((position + 1) % items.length)
    return items[position]!
  }
  moveTo(0)
  attributes.set('next', method('next', next))
  attributes.set(
    'reset',
    method('reset', () => moveTo(0)),
  )
  return new Callable('cycler', () => fail("'Cycler' object is not callable"), attributes)
}

function method(name: string, body: () => Value): Callable {
  const plain = native(name, '/', body)
  return new Callable(name, (args, named) => plain.invoke(undefined, args, named))
}

function joiner(separator: Value = ', '): Value {
  let used = false
  return method('joiner', () => {
    const text = used ? separator : ''
    used = true
    return text
  })
}

function callable({ name, invoke }: Native): Callable {
  return new Callable(name, (args, named) => invoke(undefined, args, named))
}

/** The functions that a template can call. */
export function makeGlobals(now: () => Date): ReadonlyMap<string, Callable> {
  const functions = [
    callable(native('range', '*', range)),
    callable(native('cycler', '*', cycler)),
    callable(native('joiner', 'sep?', joiner)),
    callable(native('lipsum', '*', () => unsupported('lipsum(), which writes random text,'))),
    callable(
      native('raise_exception', 'message', (message: Value) => {
        throw new TemplateError('raised', str(message))
      }),
    ),
    callable(native('strftime_now', 'format', (format: Value) => strftime(now(), textOf(format, 'strftime_now')))),
    new Callable('namespace', namespace),
    new Callable('dict', dict, new Map([['fromkeys', callable(native('fromkeys', '/keys value?', dictFromKeys))]])),
  ]
  return new Map(functions.map((entry) => [entry.name, entry]))
}
