/** `a.b`, `a['b']`, `a[1:2]` and calls of what they give, in the sandbox: nothing that begins with an underscore, nothing that changes. */

import { clamp, position } from './arguments.js'
import { points } from './characters.js'
import { contains, equals } from './comparison.js'
import { fail, unsupported } from './errors.js'
import { format } from './format-spec.js'
import { list } from './iterate.js'
import { type Native, native, table } from './native.js'
import { isFloat, isInt, toNumber } from './numbers.js'
import { repr, str } from './print.js'
import { textMethods } from './text-methods.js'
import {
  Callable,
  Dict,
  Group,
  isText,
  Loop,
  Markup,
  type Named,
  Namespace,
  Range,
  Tuple,
  textOf,
  typeName,
  Undefined,
  type Value,
  View,
} from './values.js'

function indexOf(items: readonly Value[], wanted: Value, start?: Value, stop?: Value): number {
  const end = clamp(position(stop, items.length), items.length)
  for (let i = clamp(position(start, 0), items.length); i < end; ++i) if (equals(items[i]!, wanted)) return i
  return fail('the value is not in the sequence')
}

const countOf = (items: readonly Value[], wanted: Value) => items.filter((item) => equals(item, wanted)).length

export function copyDict(source: Dict): Dict {
  const copy = new Dict()
  for (const [key, value] of source.entries()) copy.set(key, value)
  return copy
}

export function dictFromKeys(keys: Value, value: Value = null): Dict {
  const dict = new Dict()
  for (const key of list(keys)) dict.set(key, value)
  return dict
}

const dictMethods = table(
  native('copy', '/', (dict: Dict) => copyDict(dict)),
  native('fromkeys', '/keys value?', (_: Dict, keys: Value, value?: Value) => dictFromKeys(keys, value)),
  native('get', '/key default?', (dict: Dict, key: Value, fallback: Value = null) => {
    const value = dict.get(key)
    return value === undefined ? fallback : value
  }),
  native('items', '/', (dict: Dict) => new View('items', dict)),
  native('keys', '/', (dict: Dict) => new View('keys', dict)),
  native('values', '/', (dict: Dict) => new View('values', dict)),
)
const listMethods = table(
  native('copy', '/', (items: Value[]) => [...items]),
  native('count', '/value', countOf),
  native('index', '/value start? stop?', indexOf),
)
const tupleMethods = table(
  native('count', '/value', (tuple: Tuple, wanted: Value) => countOf(tuple.items, wanted)),
  native('index', '/value start? stop?', (tuple: Tuple, wanted: Value, start?: Value, stop?: Value) =>
    indexOf(tuple.items, wanted, start, stop),
  ),
)
const rangeMethods = table(
  native('count', '/value', (range: Range, wanted: Value) => Number(contains(range, wanted))),
  native('index', '/value', (range: Range, wanted: Value) => indexOf(list(range), wanted)),
)
const integerMethods = table(
  native('bit_count', '/', (value: Value) => BigInt(Number(value)).toString(2).split('1').length - 1),
  native('bit_length', '/', (value: Value) =>
    Number(value) === 0
      ? 0
      : BigInt(value as number)
          .toString(2)
          .replace('-', '').length,
  ),
  native('conjugate', '/', (value: Value) => value),
  ...['as_integer_ratio', 'from_bytes', 'to_bytes'].map((name) => native(name, '*', () => unsupported(`int.${name}`))),
)
const floatMethods = table(
  native('is_integer', '/', (value: Value) => Number.isInteger(toNumber(value as number))),
  native('conjugate', '/', (value: Value) => value),
  ...['as_integer_ratio', 'fromhex', 'hex'].map((name) => native(name, '*', () => unsupported(`float.${name}`))),
)
const none: ReadonlyMap<string, Native> = new Map()

/** Methods that exist and change their object: the sandbox gives nothing in their place. */
const changing = {
  dict: new Set(['clear', 'pop', 'popitem', 'setdefault', 'update']),
  list: new Set(['append', 'clear', 'extend', 'insert', 'pop', 'remove', 'reverse', 'sort']),
}

/** What every Python object has; the sandbox hides it, and it hides keys of the same name behind a point. */
const internal = new Set(
  (
    'class delattr dir doc eq format ge getattribute gt hash init init_subclass le lt ne new reduce reduce_ex repr setattr sizeof ' +
    'str subclasshook getstate'
  )
    .split(' ')
    .map((name) => `__${name}__`),
)

function methodsOf(object: Value): ReadonlyMap<string, Native> {
  if (typeof object === 'string' || object instanceof Markup) return textMethods
  if (object instanceof Dict) return dictMethods
  if (Array.isArray(object)) return listMethods
  if (object instanceof Tuple) return tupleMethods
  if (object instanceof Range) return rangeMethods
  if (isInt(object)) return integerMethods
  return isFloat(object) ? floatMethods : none
}

function describe(object: Value): string {
  return object === null ? 'None' : `'${typeName(object)} object'`
}

function unsafe(object: Value, name: string): Undefined {
  return new Undefined(`access to attribute '${name}' of ${describe(object)} is unsafe`)
}

/** Text methods of Markup give Markup. */
function marked(subject: Value, result: Value): Value {
  if (!(subject instanceof Markup)) return result
  if (typeof result === 'string') return new Markup(result)
  return Array.isArray(result) || result instanceof Tuple
    ? unsupported('splitting text that is marked as safe')
    : result
}

const formatLookup = { attribute: getAttribute, item: getItem }

function callText(subject: string | Markup, name: string, args: Value[], named: Named): Value | undefined {
  const text = typeof subject === 'string' ? subject : subject.text
  if (name === 'format' || name === 'format_map') {
    if (subject instanceof Markup) unsupported('format() of text that is marked as safe')
    if (name === 'format') return format(text, args, named, formatLookup)
    const [mapping] = args
    if (args.length !== 1 || named !== null || !(mapping instanceof Dict)) return fail('format_map() takes one mapping')
    return format(text, [], new Map([...mapping.entries()].map(([key, value]) => [str(key), value])), formatLookup)
  }
  const method = textMethods.get(name)
  return method === undefined ? undefined : marked(subject, method.invoke(text, args, named))
}

/** The attribute proper of `object`, or undefined when it has none of that name. */
function ownAttribute(object: Value, name: string): Value | undefined {
  if (internal.has(name)) return unsafe(object, name)
  if (typeof object === 'string' || object instanceof Markup) {
    if (name !== 'format' && name !== 'format_map' && !textMethods.has(name)) return undefined
    return new Callable(name, (args, named) => callText(object, name, args, named)!)
  }
  if (object instanceof Namespace) return object.attributes.get(name)
  if (object instanceof Loop) return object.state.attribute(name)
  if (object instanceof Callable) return object.attributes?.get(name)
  if (object instanceof Group && (name === 'grouper' || name === 'list')) return object[name]
  if (object instanceof Range && (name === 'start' || name === 'stop' || name === 'step')) return object[name]
  if (object instanceof Dict ? changing.dict.has(name) : Array.isArray(object) && changing.list.has(name)) {
    return unsafe(object, name)
  }
  if (isInt(object) || isFloat(object)) {
    if (name === 'real' || name === 'numerator') return typeof object === 'boolean' ? Number(object) : object
    if (name === 'imag') return isInt(object) ? 0 : unsupported('float.imag')
    if (name === 'denominator') return 1
  }
  const method = methodsOf(object).get(name)
  return method === undefined ? undefined : new Callable(name, (args, named) => method.invoke(object, args, named))
}

function ownItem(object: Value, key: Value): Value | undefined {
  if (object instanceof Dict) return Array.isArray(key) || key instanceof Dict ? undefined : object.get(key)
  if (!isInt(key)) return undefined
  const index = Number(key)
  const at = <T>(items: ArrayLike<T>): T | undefined => items[index < 0 ? index + items.length : index]
  if (Array.isArray(object)) return at(object)
  if (typeof object === 'string') return at(points(object))
  if (object instanceof Tuple) return at(object.items)
  if (object instanceof Markup) {
    const character = at(points(object.text))
    return character === undefined ? undefined : new Markup(character)
  }
  if (object instanceof Range) {
    const position = index < 0 ? index + object.length : index
    return position >= 0 && position < object.length ? object.at(position) : undefined
  }
  return undefined
}

/** `object.name`: the attribute, then the item. */
export function getAttribute(object: Value, name: string): Value {
  if (object instanceof Undefined) return object.fail()
  // None is a value, undefined is none.
  let value = ownAttribute(object, name)
  if (value === undefined) value = ownItem(object, name)
  return value === undefined ? new Undefined(`${describe(object)} has no attribute '${name}'`) : value
}

/** `object[key]`: the item, then the attribute. */
export function getItem(object: Value, key: Value): Value {
  if (object instanceof Undefined) return object.fail()
  let value = ownItem(object, key)
  if (value === undefined && isText(key)) value = ownAttribute(object, textOf(key, 'key'))
  return value === undefined ? new Undefined(`${describe(object)} has no element ${repr(key)}`) : value
}

/** `object.name(...)`, without a value for the method itself where that can be spared. */
export function callMethod(object: Value, name: string, args: Value[], named: Named): Value {
  if (typeof object === 'string') {
    const result = callText(object, name, args, named)
    if (result !== undefined) return result
  } else if (object instanceof Dict) {
    const method = dictMethods.get(name)
    if (method !== undefined) return method.invoke(object, args, named)
  }
  return call(getAttribute(object, name), args, named)
}

export function call(callee: Value, args: Value[], named: Named): Value {
  if (callee instanceof Callable) return callee.call(args, named)
  if (callee instanceof Undefined) return callee.fail()
  if (callee instanceof Loop)
    return args.length === 1 && named === null ? callee.state.recurse(args[0]!) : fail('loop() takes one argument')
  return fail(`'${typeName(callee)}' object is not callable`)
}

/** `object[start:stop:step]` */
export function getSlice(object: Value, start: Value, stop: Value, step: Value): Value {
  if (object instanceof Undefined) return object.fail()
  const sequence =
    typeof object === 'string' ? points(object)
    : object instanceof Markup ? points(object.text)
    : Array.isArray(object) ? object
    : object instanceof Tuple ? object.items
    : object instanceof Range ? list(object)
    : fail(`'${typeName(object)}' object cannot be sliced`) // biome-ignore format: one kind a line
  const size = sequence.length
  const stride = position(step, 1)
  if (stride === 0) return fail('slice step cannot be zero')
  const bound = (value: Value, fallback: number) => {
    if (value === null) return fallback
    const at = position(value, fallback)
    if (stride > 0) return clamp(at, size)
    return at < 0 ? Math.max(-1, at + size) : Math.min(at, size - 1)
  }
  const first = bound(start, stride > 0 ? 0 : size - 1)
  const last = bound(stop, stride > 0 ? size : -1)
  const text = typeof object === 'string' || object instanceof Markup
  if (text && stride === 1) {
    const part =
      typeof sequence === 'string'
        ? sequence.slice(first, last)
        : (sequence as string[]).slice(first, Math.max(first, last)).join('')
    const kept = last <= first ? '' : part
    return object instanceof Markup ? new Markup(kept) : kept
  }
  const picked: Value[] = []
  for (let i = first; stride > 0 ? i < last : i > last; i += stride) picked.push(sequence[i]!)
  if (text) return object instanceof Markup ? new Markup(picked.join('')) : picked.join('')
  if (object instanceof Range) {
    const count = picked.length
    return new Range(object.at(first), object.at(first) + count * stride * object.step, stride * object.step)
  }
  return Array.isArray(object) ? picked : new Tuple(picked)
}
