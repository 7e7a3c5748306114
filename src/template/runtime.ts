/** What a render works on: variables in slots, and the text so far. */

import { checkText } from './budget.js'
import { unsupported } from './errors.js'
import type { Callable, Value } from './values.js'

/** One render of a template. */
export class Context {
  /** The text so far of what is being written: the template, or a macro, a set block, … within it. */
  out = ''
  /** The line of the statement at work. */
  line = 0
  /** What `{% generation %}` blocks wrote, as positions in the text. */
  readonly spans: [begin: number, end: number][] = []
  /** Assigned at the top of the template; what blocks see. */
  readonly assigned = new Map<string, Value>()
  #buffers = 0
  #written = 0

  constructor(
    readonly variables: ReadonlyMap<string, Value>,
    readonly globals: ReadonlyMap<string, Callable>,
  ) {}

  resolve(name: string): Value | undefined {
    for (const names of [this.assigned, this.variables, this.globals]) {
      const value = names.get(name)
      if (value !== undefined) return value
    }
    // In Jinja the template itself, for its blocks.
    return name === 'self' ? unsupported('self') : undefined
  }

  write(text: string): void {
    this.out += text
    checkText(this.out.length)
  }

  /** Length of what the template itself has written, outside of every buffer. */
  get written(): number {
    return this.#buffers === 0 ? this.out.length : this.#written
  }

  /** What `body` writes, and what it returns. */
  capture<T>(body: () => T): { text: string; result: T } {
    const before = this.out
    if (this.#buffers++ === 0) this.#written = before.length
    this.out = ''
    try {
      const result = body()
      return { text: this.out, result }
    } finally {
      this.out = before
      --this.#buffers
    }
  }
}

/** A call of a function of the template: its variables, and the call within which it was defined. */
export class Frame {
  readonly slots: (Value | undefined)[]

  constructor(
    readonly context: Context,
    readonly parent: Frame | null,
    size: number,
  ) {
    this.slots = new Array(size)
  }
}

export type Evaluate = (frame: Frame) => Value

/** How a statement ended: on, or out of the loop, or to the loop's next round. */
export type Signal = 0 | 1 | 2
export const goOn = 0
export const breakLoop = 1
export const nextRound = 2
export type Execute = (frame: Frame) => Signal
