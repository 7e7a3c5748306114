/** Targets of assignments to functions of a frame and a value. */

import type { Body } from './body.js'
import { access, holder } from './compile-expression.js'
import { fail } from './errors.js'
import { checkAttribute } from './globals.js'
import { list } from './iterate.js'
import type { Target } from './nodes.js'
import type { Frame } from './runtime.js'
import { type Symbols, walkTarget } from './scope.js'
import { Namespace, type Value } from './values.js'

export function compileTarget(target: Target, symbols: Symbols): (frame: Frame, value: Value) => void {
  if (target.kind === 'tuple') {
    const parts = target.items.map((item) => compileTarget(item as Target, symbols))
    return (frame, value) => {
      const values = list(value)
      if (values.length !== parts.length) fail(`${values.length} values for ${parts.length} names`)
      for (const [i, part] of parts.entries()) part(frame, values[i]!)
    }
  }
  const { hops, slot } = access(symbols.find(target.name)!, symbols)
  if (target.kind === 'name') {
    return (frame, value) => {
      holder(frame, hops).slots[slot] = value
    }
  }
  const { attribute } = target
  return (frame, value) => {
    const namespace = holder(frame, hops).slots[slot]
    if (!(namespace instanceof Namespace)) return fail('cannot assign attribute on non-namespace object')
    checkAttribute(attribute)
    namespace.attributes.set(attribute, value)
  }
}

export function compileAssignment(target: Target, value: (frame: Frame) => Value, place: Body): (frame: Frame) => void {
  const assign = compileTarget(target, place.symbols)
  if (!place.top) return (frame) => assign(frame, value(frame))
  const names: (readonly [string, number])[] = []
  walkTarget(target, (name, kind) => {
    if (kind === 'store') names.push([name, place.symbols.find(name)!.slot])
  })
  return (frame) => {
    assign(frame, value(frame))
    for (const [name, slot] of names) frame.context.assigned.set(name, frame.slots[slot]!)
  }
}
