/** Macros, and the bodies of call blocks, which are macros without a name. */

import { type Body, compileEnter } from './body.js'
import { deeper } from './budget.js'
import { compileExpression } from './compile-expression.js'
import { fail, TemplateError } from './errors.js'
import type { Expression, Statement } from './nodes.js'
import { type Execute, Frame } from './runtime.js'
import { analyse, analyseExpression, FunctionScope, undeclared } from './scope.js'
import { Dict, Macro, Tuple, Undefined, type Value } from './values.js'

interface Definition {
  readonly parameters: readonly string[]
  readonly defaults: readonly Expression[]
  readonly body: readonly Statement[]
}

type CompileBody = (body: readonly Statement[], place: Body) => Execute

/** What makes the macro, in the frame that it is defined in. */
export function compileMacro(
  node: Definition,
  name: string,
  place: Body,
  compileBody: CompileBody,
): (frame: Frame) => Macro {
  const scope = new FunctionScope(place.symbols.scope.depth + 1)
  const symbols = place.symbols.inner(scope)
  const { parameters, defaults } = node
  const slots = parameters.map((parameter) => symbols.parameter(parameter).slot)
  const special = undeclared(node.body, ['caller', 'kwargs', 'varargs'])
  const explicitCaller = parameters.indexOf('caller')
  const takesCaller = special.has('caller')
  if (takesCaller && explicitCaller >= 0 && explicitCaller < parameters.length - defaults.length) {
    throw new TemplateError('syntax', 'the parameter "caller" of a macro needs a default')
  }
  const extra = (word: string) => (special.has(word) && !parameters.includes(word) ? symbols.parameter(word).slot : -1)
  const [callerSlot, namedSlot, restSlot] = [extra('caller'), extra('kwargs'), extra('varargs')]
  for (const value of defaults) analyseExpression(value, symbols)
  analyse(node.body, symbols)
  const inner: Body = { symbols, soft: false, top: false, inLoop: false }
  const enter = compileEnter(symbols)
  const fallbacks = defaults.map((value) => compileExpression(value, inner))
  const body = compileBody(node.body, inner)
  const firstDefault = parameters.length - defaults.length

  return (outer) => {
    const attributes = new Map<string, Value>([
      ['name', name === '' ? null : name],
      ['arguments', new Tuple(parameters)],
      ['catch_kwargs', namedSlot >= 0],
      ['catch_varargs', restSlot >= 0],
      ['caller', takesCaller],
      ['explicit_caller', explicitCaller >= 0],
    ])
    const invoke = (args: Value[], named: ReadonlyMap<string, Value> | null): string => {
      const frame = new Frame(outer.context, outer, scope.size)
      const rest = new Map(named)
      slots.forEach((slot, i) => {
        if (i < args.length) frame.slots[slot] = args[i]!
        else if (rest.has(parameters[i]!)) {
          frame.slots[slot] = rest.get(parameters[i]!)!
          rest.delete(parameters[i]!)
        }
      })
      if (callerSlot >= 0) {
        const caller = rest.get('caller')
        rest.delete('caller')
        frame.slots[callerSlot] = caller === undefined || caller === null ? new Undefined('No caller defined') : caller
      }
      if (namedSlot >= 0) {
        const dict = new Dict()
        for (const [key, value] of rest) dict.set(key, value)
        frame.slots[namedSlot] = dict
      } else if (rest.size > 0) {
        return fail(`macro '${name}' takes no keyword argument '${[...rest.keys()][0]}'`)
      }
      if (restSlot >= 0) frame.slots[restSlot] = new Tuple(args.slice(parameters.length))
      else if (args.length > parameters.length) {
        return fail(`macro '${name}' takes not more than ${parameters.length} argument(s)`)
      }
      return deeper(() =>
        frame.context.capture(() => {
          enter(frame)
          slots.forEach((slot, i) => {
            if (frame.slots[slot] !== undefined) return
            const fallback = fallbacks[i - firstDefault]
            frame.slots[slot] =
              fallback === undefined ? new Undefined(`parameter '${parameters[i]}' was not provided`) : fallback(frame)
          })
          return body(frame)
        }),
      ).text
    }
    return new Macro(name, invoke, attributes)
  }
}
