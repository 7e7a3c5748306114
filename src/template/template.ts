/**
 * Jinja templates as transformers sets Jinja up for chat templates: an immutable sandbox with trim_blocks, lstrip_blocks, loop controls,
 * `tojson`, `raise_exception`, `strftime_now` and `{% generation %}` blocks. Values keep Python's types, see values.ts.
 */

import { compileEnter } from './body.js'
import { beginRender } from './budget.js'
import { compileBody } from './compile.js'
import { TemplateError } from './errors.js'
import { makeGlobals } from './globals.js'
import { parse } from './parser.js'
import { Context, type Execute, Frame } from './runtime.js'
import { analyse, FunctionScope, Symbols } from './scope.js'
import type { Callable, Value } from './values.js'

export interface Rendered {
  readonly text: string
  /** What each `{% generation %}` block wrote: positions in `text`, the end exclusive. */
  readonly spans: [begin: number, end: number][]
}

export class Template {
  readonly #scope = new FunctionScope(0)
  readonly #enter: (frame: Frame) => void
  readonly #body: Execute
  readonly #globals: ReadonlyMap<string, Callable>

  /**
   * @param now the clock of strftime_now
   * @throws TemplateError of kind syntax, unsupported or limit
   */
  constructor(source: string, now: () => Date = () => new Date()) {
    this.#globals = makeGlobals(now)
    try {
      const statements = parse(source)
      const symbols = new Symbols(this.#scope, null)
      analyse(statements, symbols)
      this.#enter = compileEnter(symbols)
      this.#body = compileBody(statements, { symbols, soft: false, top: true, inLoop: false })
    } catch (error) {
      throw asTemplateError(error)
    }
  }

  /** @throws TemplateError, with the line of the statement at work */
  render(variables: ReadonlyMap<string, Value>): Rendered {
    const context = new Context(variables, this.#globals)
    const frame = new Frame(context, null, this.#scope.size)
    beginRender()
    try {
      this.#enter(frame)
      this.#body(frame)
      return { text: context.out, spans: context.spans }
    } catch (error) {
      const failure = asTemplateError(error)
      failure.line ??= context.line
      throw failure
    }
  }
}

function asTemplateError(error: unknown): TemplateError {
  if (error instanceof TemplateError) return error
  // A stack or a string that is too large: the bounds of budget.ts lie below those of the language, nested values do not.
  if (error instanceof RangeError) return new TemplateError('limit', `the template goes too deep (${error.message})`)
  throw error
}
