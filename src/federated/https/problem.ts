/** Errors as answers: problem details with our stable codes. Source: RFC 9457. The client throws what the server threw. */
import { type ErrorCode, FedloraError } from '../../errors.js'

export const problemType = 'application/problem+json'

/** HTTP's status for each code that is the asker's to mend; all others are the server's trouble, 500. */
const statuses: Partial<Record<ErrorCode, number>> = {
  E_ARGUMENT: 400,
  E_CONFIG: 400,
  E_FORMAT: 400,
  E_DATA: 400,
  E_CHECKSUM: 400,
  E_DTYPE: 400,
  E_PROTOCOL: 400,
  E_AUTH: 401,
  E_CLOCK: 401,
  E_LIMIT: 403,
  E_REVOKED: 403,
  E_TOKEN: 403,
  E_TOKEN_USED: 403,
  E_BLOB_MISSING: 404,
  E_MISSING: 404,
  E_UNSUPPORTED: 405,
  E_ALREADY_COUNTED: 409,
  E_BASE: 409,
  E_BUSY: 409,
  E_UPLOAD_BUSY: 409,
  E_UPLOAD_OFFSET: 409,
  E_ROUND_CLOSED: 410,
  E_RUN_OVER: 410,
  E_TOO_LARGE: 413,
  E_HASH: 422,
  E_NONFINITE: 422,
  E_SHAPE: 422,
  E_VERSION: 426,
  E_RATE: 429,
  E_UNREACHABLE: 503,
  E_DISK_FULL: 507,
}

export interface Problem {
  status: number
  code: ErrorCode
  detail: string
  details: Readonly<Record<string, unknown>>
  /** Seconds after which it is worth asking again. */
  retryAfter?: number
}

/** What the asker is told. Of what is the server's own trouble it learns the code and no particulars: they name files and stand in the log. */
export function problemOf(error: unknown): Problem {
  if (!(error instanceof FedloraError)) return trouble('E_INTERNAL')
  const { code, message, details } = error
  const status = typeof details.status === 'number' ? details.status : statuses[code]
  if (status === undefined) return trouble(code)
  const { retryAfter } = details
  const { details: told } = error.toJSON()
  return { status, code, detail: message, details: told, ...(typeof retryAfter === 'number' ? { retryAfter } : {}) }
}

const trouble = (code: ErrorCode): Problem => ({
  status: 500,
  code,
  detail: 'the server could not do it; its log says why',
  details: {},
})

export function problemText({ status, code, detail, details, retryAfter }: Problem): string {
  const again = retryAfter === undefined ? {} : { retryAfter }
  return JSON.stringify({ type: `urn:fedlora:error:${code}`, title: code, status, detail, code, details, ...again })
}

/** The error that an answer carries; undefined when it is none of ours (a proxy's page). */
export function errorOf(text: string): FedloraError | undefined {
  let problem: unknown
  try {
    problem = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof problem !== 'object' || problem === null) return undefined
  const { code, detail, details } = problem as Record<string, unknown>
  return FedloraError.from({ name: 'FedloraError', code, message: detail, details })
}
