/** The variable `loop`: where a pass over items stands. It looks one item ahead only when asked. */

import { equals } from './comparison.js'
import { fail } from './errors.js'
import { iterate, size } from './iterate.js'
import { native } from './native.js'
import { Callable, type LoopState, Tuple, Undefined, type Value } from './values.js'

export class LoopRound implements LoopState, Iterable<Value> {
  #iterator: Iterator<Value>
  #index = -1
  #length: number | undefined
  #before: Value | undefined
  #current: Value | undefined
  /** The next item, when it has been looked at. */
  #after: IteratorResult<Value> | undefined
  #changed: Value | undefined

  constructor(
    readonly items: Value,
    readonly depth: number,
    readonly descend: ((items: Value) => string) | null,
  ) {
    this.#iterator = iterate(items)[Symbol.iterator]()
  }

  *[Symbol.iterator](): Generator<Value> {
    for (;;) {
      const result = this.#after ?? this.#iterator.next()
      this.#after = undefined
      if (result.done) return
      this.#index += 1
      this.#before = this.#current
      this.#current = result.value
      yield result.value
    }
  }

  #peek(): IteratorResult<Value> {
    this.#after ??= this.#iterator.next()
    return this.#after
  }

  length(): number {
    if (this.#length !== undefined) return this.#length
    this.#length = size(this.items)
    if (this.#length === undefined) {
      const rest: Value[] = []
      for (let next = this.#iterator.next(); !next.done; next = this.#iterator.next()) rest.push(next.value)
      this.#iterator = rest[Symbol.iterator]()
      const ahead = this.#after !== undefined && !this.#after.done ? 1 : 0
      this.#length = rest.length + this.#index + 1 + ahead
    }
    return this.#length
  }

  recurse(items: Value): Value {
    return this.descend === null
      ? fail("the loop must have the 'recursive' marker to be called recursively")
      : this.descend(items)
  }

  #cycle(...values: Value[]): Value {
    return values.length === 0 ? fail('no items for cycling given') : values[this.#index % values.length]!
  }

  #hasChanged(...values: Value[]): Value {
    const now = new Tuple(values)
    if (this.#changed !== undefined && equals(this.#changed, now)) return false
    this.#changed = now
    return true
  }

  attribute(name: string): Value | undefined {
    switch (name) {
      case 'index':
        return this.#index + 1
      case 'index0':
        return this.#index
      case 'first':
        return this.#index === 0
      case 'last':
        return this.#peek().done === true
      case 'length':
        return this.length()
      case 'revindex':
        return this.length() - this.#index
      case 'revindex0':
        return this.length() - this.#index - 1
      case 'depth':
        return this.depth + 1
      case 'depth0':
        return this.depth
      case 'previtem':
        return this.#index === 0 ? new Undefined('there is no previous item') : this.#before!
      case 'nextitem': {
        const next = this.#peek()
        return next.done ? new Undefined('there is no next item') : next.value
      }
      case 'cycle':
        return new Callable(name, (args, named) =>
          native(name, '*', this.#cycle.bind(this)).invoke(undefined, args, named),
        )
      case 'changed':
        return new Callable(name, (args, named) =>
          native(name, '*', this.#hasChanged.bind(this)).invoke(undefined, args, named),
        )
      default:
        return undefined
    }
  }
}
