/** Where a statement stands, and what is set when its body is entered. */

import { access, holder, type Place } from './compile-expression.js'
import type { Frame } from './runtime.js'
import type { Symbols } from './scope.js'

/** Where a statement stands. */
export interface Body extends Place {
  /** At the top of the template, where what is assigned can be seen by blocks. */
  readonly top: boolean
  /** Whether a break has a loop to leave. */
  readonly inLoop: boolean
}

/** `place` for a body of its own. */
export function within(place: Body, symbols: Symbols): Body {
  return { ...place, symbols, top: false, soft: false, block: undefined }
}

/** Sets the variables of a body to what they begin with. */
export function compileEnter(symbols: Symbols): (frame: Frame) => void {
  const loads: ((frame: Frame) => void)[] = []
  for (const [{ slot }, load] of symbols.loads) {
    if (load.from === 'context') {
      const { name } = load
      loads.push((frame) => {
        frame.slots[slot] = frame.context.resolve(name)
      })
    } else if (load.from === 'outer') {
      const outer = access(load.variable, symbols)
      loads.push((frame) => {
        frame.slots[slot] = holder(frame, outer.hops).slots[outer.slot]
      })
    } else if (load.from === 'nothing') {
      loads.push((frame) => {
        frame.slots[slot] = undefined
      })
    }
  }
  return (frame) => {
    for (const load of loads) load(frame)
  }
}
