/** A mistake on the command line: exit code 2, unlike failures of the work itself. */
import { type ErrorCode, FedloraError } from '../errors.js'

export class UsageError extends FedloraError {
  constructor(message: string, details: Record<string, unknown> = {}, code: ErrorCode = 'E_ARGUMENT', cause?: unknown) {
    super(code, message, details, cause)
  }
}
