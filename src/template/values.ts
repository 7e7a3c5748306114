/**
 * Python's values as a template meets them. None, bool, str and list are null, boolean, string and Array. An int is a whole number, or
 * a bigint beyond 2^53; a float is a number with a fraction, or a {@link Float} when its value is whole. The others have classes here.
 */

import { Float } from '../files/exact-json.js'
import { fail, TemplateError } from './errors.js'

export { Float }

// biome-ignore format: a list of kinds
export type Value =
  | null | boolean | number | bigint | string | Float | Value[] | Tuple | Dict | View | Range | Lazy | Markup
  | Undefined | Namespace | Callable | Loop

/** What a name or an attribute gives that does not exist: prints as nothing, is false, and refuses everything else. */
export class Undefined {
  constructor(readonly message: string) {}

  fail(): never {
    throw new TemplateError('runtime', this.message)
  }
}

export class Tuple {
  constructor(readonly items: readonly Value[]) {}
}

/** What groupby gives: prints as a tuple and has names for its parts. */
export class Group extends Tuple {
  constructor(
    readonly grouper: Value,
    readonly list: Value[],
  ) {
    super([grouper, list])
  }
}

/** Text that is marked as safe HTML by `|safe` or `|escape`; what is joined to it gets escaped. */
export class Markup {
  constructor(readonly text: string) {}
}

/** A generator: its values come once. */
export class Lazy {
  constructor(
    readonly name: string,
    readonly iterator: Iterator<Value>,
  ) {}
}

export class Range {
  readonly length: number

  constructor(
    readonly start: number,
    readonly stop: number,
    readonly step: number,
  ) {
    this.length = Math.max(0, Math.ceil((stop - start) / step))
  }

  at(index: number): number {
    return this.start + index * this.step
  }
}

/** Numbers that are equal are one key: 1, 1.0 and True. */
function normalised(key: Value): unknown {
  if (typeof key === 'string' || typeof key === 'number' || key === null || typeof key === 'bigint') return key
  if (typeof key === 'boolean') return Number(key)
  if (key instanceof Float) {
    return Number.isSafeInteger(key.value) ? key.value + 0 : Number.isFinite(key.value) ? BigInt(key.value) : key.value
  }
  if (key instanceof Markup) return key.text
  if (key instanceof Tuple) throw new TemplateError('unsupported', 'a tuple as a key of a dict is not supported')
  if (Array.isArray(key) || key instanceof Dict) return fail(`unhashable type: '${typeName(key)}'`)
  return key
}

export class Dict {
  readonly #values = new Map<unknown, Value>()
  /** Keys that are not their own normal form. */
  #names: Map<unknown, Value> | undefined

  get size(): number {
    return this.#values.size
  }

  get(key: Value): Value | undefined {
    if (typeof key === 'string') return this.#values.get(key)
    return key instanceof Tuple ? undefined : this.#values.get(normalised(key))
  }

  has(key: Value): boolean {
    return this.get(key) !== undefined
  }

  set(key: Value, value: Value): this {
    const normal = typeof key === 'string' ? key : normalised(key)
    if (normal !== key && !this.#values.has(normal)) {
      this.#names ??= new Map()
      this.#names.set(normal, key)
    }
    this.#values.set(normal, value)
    return this
  }

  *entries(): Generator<[Value, Value]> {
    for (const [key, value] of this.#values) yield [this.#names?.get(key) ?? (key as Value), value]
  }

  *keys(): Generator<Value> {
    for (const [key] of this.entries()) yield key
  }
}

/** What keys(), values() and items() give. */
export class View {
  constructor(
    readonly kind: 'keys' | 'values' | 'items',
    readonly dict: Dict,
  ) {}

  *[Symbol.iterator](): Generator<Value> {
    for (const [key, value] of this.dict.entries()) {
      yield this.kind === 'keys' ? key : this.kind === 'values' ? value : new Tuple([key, value])
    }
  }
}

/** The only object that a template can change. */
export class Namespace {
  constructor(readonly attributes: Dict) {}
}

/** Named arguments of a call. */
export type Named = ReadonlyMap<string, Value> | null

export class Callable {
  constructor(
    /** As Python prints it. */
    readonly name: string,
    readonly call: (args: Value[], named: Named) => Value,
    readonly attributes: ReadonlyMap<string, Value> | null = null,
  ) {}
}

/** A function of the template itself. */
export class Macro extends Callable {}

/** The special variable `loop`. */
export interface LoopState {
  length(): number
  attribute(name: string): Value | undefined
  recurse(items: Value): Value
}

export class Loop {
  constructor(readonly state: LoopState) {}
}

export function typeName(value: Value): string {
  if (value === null) return 'NoneType'
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'bigint') return 'int'
  if (typeof value === 'number') return Number.isInteger(value) ? 'int' : 'float'
  if (typeof value === 'string') return 'str'
  if (Array.isArray(value)) return 'list'
  if (value instanceof View) return `dict_${value.kind}`
  const names = new Map<unknown, string>([
    [Float, 'float'],
    [Tuple, 'tuple'],
    [Group, '_GroupTuple'],
    [Dict, 'dict'],
    [Range, 'range'],
    [Lazy, 'generator'],
    [Markup, 'Markup'],
    [Undefined, 'Undefined'],
    [Namespace, 'Namespace'],
    [Loop, 'LoopContext'],
    [Macro, 'Macro'],
  ])
  return names.get(value.constructor) ?? 'function'
}

export function isText(value: Value): value is string | Markup {
  return typeof value === 'string' || value instanceof Markup
}

/** The text of a str, Markup included. */
export function textOf(value: Value, what: string): string {
  if (typeof value === 'string') return value
  if (value instanceof Markup) return value.text
  if (value instanceof Undefined) value.fail()
  return fail(`${what}: expected a str, got ${typeName(value)}`)
}

export function truth(value: Value): boolean {
  if (typeof value === 'boolean') return value
  if (value === null) return false
  if (typeof value === 'string') return value !== ''
  if (typeof value === 'number') return value !== 0
  if (typeof value === 'bigint') return value !== 0n
  if (Array.isArray(value)) return value.length > 0
  if (value instanceof Undefined) return false
  if (value instanceof Dict) return value.size > 0
  if (value instanceof Float) return value.value !== 0
  if (value instanceof Markup) return value.text !== ''
  if (value instanceof Tuple) return value.items.length > 0
  if (value instanceof View) return value.dict.size > 0
  if (value instanceof Range) return value.length > 0
  if (value instanceof Loop) return value.state.length() > 0
  return true
}
