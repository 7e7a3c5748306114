/** The stable codes of `FedloraError`. `native/base/error_codes.def` is the same list; a test compares the two. */
export const errorCodes = [
  'E_ARGUMENT',
  'E_SHAPE',
  'E_DTYPE',
  'E_FORMAT',
  'E_CHECKSUM',
  'E_VERSION',
  'E_MISSING',
  'E_UNSUPPORTED',
  'E_CONFIG',
  'E_DATA',
  'E_TOKENIZER',
  'E_IO',
  'E_NONFINITE',
  'E_MEMORY',
  'E_BUSY',
  'E_DISPOSED',
  'E_ISA',
  'E_LOAD',
  'E_CHECKPOINT',
  'E_INTERNAL',
] as const

export type ErrorCode = (typeof errorCodes)[number]

/** Every failure that a user can cause or meet: what, where, got, expected and the cure, under a stable `code`. */
export class FedloraError extends Error {
  override readonly name = 'FedloraError'
  readonly code: ErrorCode
  /** Machine-readable particulars: file, line, field, step, … */
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: ErrorCode, message: string, details: Record<string, unknown> = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.details = details
  }
}

/** True for an error of ours, and of that code when one is given. */
export function isFedloraError(error: unknown, code?: ErrorCode): error is FedloraError {
  return error instanceof FedloraError && (code === undefined || error.code === code)
}
