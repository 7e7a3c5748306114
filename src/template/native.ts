/** Functions, methods, filters and tests that are written here, called with Python's rules for arguments. */

import { makeText, step } from './budget.js'
import { fail } from './errors.js'
import type { Named, Value } from './values.js'

export interface Native {
  readonly name: string
  /** @param subject the value before the `|`, the `is` or the point, if there is one */
  invoke(subject: Value | undefined, args: readonly Value[], named: Named): Value
}

type Body = (...args: never[]) => Value
type AnyBody = (...args: (Value | undefined)[]) => Value

/**
 * @param signature names of the parameters; `?` after one that may be left out, `/` first when none can be given by name, `*` in place of the
 *   rest. A parameter that is left out is undefined in `body`, whose first argument is the subject, if there is one.
 */
export function native(name: string, signature: string, body: Body): Native {
  const positionalOnly = signature.startsWith('/')
  const words = signature.split(/[ /]/).filter((word) => word !== '')
  const takesRest = words.at(-1) === '*'
  if (takesRest) words.pop()
  const parameters = words.map((word) => word.replace('?', ''))
  const required = words.filter((word) => !word.endsWith('?')).length
  const run = body as AnyBody
  return {
    name,
    invoke(subject, args, named) {
      step()
      if (typeof subject === 'string') makeText(subject.length)
      const bound: (Value | undefined)[] = subject === undefined ? [] : [subject]
      const offset = bound.length
      bound.push(...args)
      if (args.length > parameters.length && !takesRest) {
        fail(`${name}() takes at most ${parameters.length} arguments (${args.length} given)`)
      }
      if (named !== null) {
        for (const [key, value] of named) {
          const at = positionalOnly ? -1 : parameters.indexOf(key)
          if (at < 0) fail(`${name}() got an unexpected keyword argument '${key}'`)
          if (at < args.length) fail(`${name}() got several values for argument '${key}'`)
          bound[offset + at] = value
        }
      }
      for (let i = 0; i < required; ++i) {
        if (bound[offset + i] === undefined) fail(`${name}() misses the argument '${parameters[i]}'`)
      }
      return run(...bound)
    },
  }
}

/** A table of natives by name. */
export function table(...natives: readonly Native[]): ReadonlyMap<string, Native> {
  return new Map(natives.map((entry) => [entry.name, entry]))
}
