/** The codes that the engine may use, too. `native/base/error_codes.def` is the same list; a test compares the two. */
export const engineCodes = [
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
  'E_BUILD',
  'E_CUDA_LIBRARY',
  'E_CUDA_ABI',
  'E_CUDA_DRIVER',
  'E_CUDA_DRIVER_OLD',
  'E_CUDA_DEVICE',
  'E_CUDA_CAPABILITY',
  'E_CUDA',
  'E_CHECKPOINT',
  'E_PROTOCOL',
  'E_INTERNAL',
] as const

/** The codes of federations between machines. */
const networkCodes = [
  /** Who asks could not prove who it is. */
  'E_AUTH',
  /** The clock of this machine is too far from the server's. */
  'E_CLOCK',
  /** A join token is unknown or has expired. */
  'E_TOKEN',
  /** A join token was used by somebody else. */
  'E_TOKEN_USED',
  /** The operator has shut this client out. */
  'E_REVOKED',
  /** Too many requests: ask again later. */
  'E_RATE',
  /** The other side did not answer. */
  'E_UNREACHABLE',
  /** An upload goes on from another byte. */
  'E_UPLOAD_OFFSET',
  /** Another request writes this upload. */
  'E_UPLOAD_BUSY',
  /** More bytes than are allowed. */
  'E_TOO_LARGE',
  /** Bytes are not what their hash says. */
  'E_HASH',
  /** A blob is not there, or not for this client. */
  'E_BLOB_MISSING',
  /** The round takes no answers any more. */
  'E_ROUND_CLOSED',
  /** The answer began from a state that is too old by now. */
  'E_STALE',
  /** Another answer of this client counts already. */
  'E_ALREADY_COUNTED',
  /** The federation has ended. */
  'E_RUN_OVER',
  /** The disk is full: nothing was lost, and nothing half-written counts. */
  'E_DISK_FULL',
  /** Another process uses the folder. */
  'E_LOCKED',
  /** A journal is damaged before its end. */
  'E_JOURNAL_CORRUPT',
  /** Another server has taken over this journal. */
  'E_JOURNAL_FENCED',
  /** The base model is not the one that the federation trains. */
  'E_BASE',
  /** Work beyond a limit that this client has set. */
  'E_LIMIT',
] as const

/** The stable codes of `FedloraError`. */
export const errorCodes = [...engineCodes, ...networkCodes] as const

export type ErrorCode = (typeof errorCodes)[number]

/** An error as plain JSON: what `JSON.stringify` writes, and `FedloraError.from` reads. */
export interface ErrorJson {
  name: 'FedloraError'
  code: ErrorCode
  message: string
  details: Readonly<Record<string, unknown>>
  cause?: unknown
}

const header = /^FedloraError \[(E_[A-Z_]+)\]: /

function knownCode(code: unknown): code is ErrorCode {
  return errorCodes.includes(code as ErrorCode)
}

/** A value as JSON can hold it: errors by name and message, big integers as text; what cannot be written becomes a word. */
function plain(value: unknown): unknown {
  if (value instanceof FedloraError) return value.toJSON()
  if (value instanceof Error) return { name: value.name, message: value.message }
  try {
    const text = JSON.stringify(value, (_key, inner) => (typeof inner === 'bigint' ? String(inner) : inner))
    return text === undefined ? undefined : JSON.parse(text)
  } catch {
    return String(value)
  }
}

/**
 * Every failure that a user can cause or meet: what, where, got, expected and the cure, under a stable `code`.
 *
 * It survives `JSON.stringify` whole. `structuredClone` and `postMessage` keep only name, message, stack and cause of any error; the
 * first line of the stack, `FedloraError [E_…]: message`, carries the code across, and `isFedloraError` and `FedloraError.from` read it.
 */
export class FedloraError extends Error {
  override readonly name = 'FedloraError'
  readonly code: ErrorCode
  /** Machine-readable particulars: file, line, field, step, … */
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: ErrorCode, message: string, details: Record<string, unknown> = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.details = details
    this.borrowStack(this.stack)
  }

  /** @internal Takes over the frames of another stack; the first line stays its own. */
  borrowStack(stack: string | undefined): void {
    const frames = stack?.indexOf('\n    at ') ?? -1
    const value = `FedloraError [${this.code}]: ${this.message}${frames < 0 ? '' : stack!.slice(frames)}`
    Object.defineProperty(this, 'stack', { value, writable: true, configurable: true, enumerable: false })
  }

  toJSON(): ErrorJson {
    const { name, code, message, cause } = this
    const details = plain(this.details) as Record<string, unknown>
    return { name, code, message, details, ...(cause === undefined ? {} : { cause: plain(cause) }) }
  }

  /** The error that came as JSON (an object or its text), from a worker, or from another copy of the package; undefined for what is none. */
  static from(value: unknown): FedloraError | undefined {
    if (value instanceof FedloraError) return value
    if (typeof value === 'string') {
      try {
        return FedloraError.from(JSON.parse(value))
      } catch {
        return undefined
      }
    }
    if (typeof value !== 'object' || value === null) return undefined
    const { name, code, message, details, cause, stack } = value as Partial<ErrorJson> & { stack?: unknown }
    const carried = value instanceof Error ? header.exec(String(stack))?.[1] : undefined
    const found = name === 'FedloraError' && knownCode(code) ? code : carried
    if (!knownCode(found) || typeof message !== 'string') return undefined
    const kept = typeof details === 'object' && details !== null ? { ...details } : {}
    const error = new FedloraError(found, message, kept, cause)
    if (typeof stack === 'string') error.borrowStack(stack)
    return error
  }
}

/**
 * True for an error of ours, and of that code when one is given: thrown here, revived from JSON, or come from a worker. An error that lost
 * its code on the way (`structuredClone`, `postMessage`) gets it back, with its name.
 */
export function isFedloraError(error: unknown, code?: ErrorCode): error is FedloraError {
  if (typeof error !== 'object') return false
  const revived = FedloraError.from(error)
  if (revived === undefined) return false
  if (error instanceof Error && (error as Partial<FedloraError>).code === undefined) {
    const { name, details } = revived
    for (const [key, value] of Object.entries({ name, code: revived.code, details })) {
      Object.defineProperty(error, key, { value, writable: true, configurable: true, enumerable: true })
    }
  }
  return code === undefined || revived.code === code
}
