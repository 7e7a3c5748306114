/** Paths as callers give them. */

import { describeValue } from '../errors/describe.js'
import { FedloraError } from '../errors.js'

/**
 * Refuses what is no path.
 * @throws FedloraError `E_ARGUMENT`.
 */
export function checkPath(value: unknown, doing: string): asserts value is string {
  if (typeof value === 'string' && value !== '' && !value.includes('\0')) return
  throw new FedloraError('E_ARGUMENT', `${doing}: got ${describeValue(value)}, expected the path of a folder`)
}
