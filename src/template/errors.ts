/** What goes wrong while a template is read or rendered. */

/**
 * `syntax`: the template does not parse. `unsupported`: it uses something that this engine does not know. `limit`: it does more work
 * than a conversation can need. `raised`: it called raise_exception. `runtime`: a value is not what an operation needs.
 */
export type TemplateErrorKind = 'syntax' | 'unsupported' | 'limit' | 'raised' | 'runtime'

export class TemplateError extends Error {
  /** The line of the template, from 1, where it is known. */
  line: number | undefined

  constructor(
    readonly kind: TemplateErrorKind,
    message: string,
    line?: number,
  ) {
    super(message)
    this.name = 'TemplateError'
    this.line = line
  }
}

/** A value is not what an operation needs: what Python calls TypeError, ValueError, LookupError, ZeroDivisionError. */
export function fail(message: string): never {
  throw new TemplateError('runtime', message)
}

export function unsupported(what: string): never {
  throw new TemplateError('unsupported', `${what} is not supported`)
}
