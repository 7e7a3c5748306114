import { describeValue } from '../../../errors/describe.js'
import { FedloraError } from '../../../errors.js'

/** A message, or a step, that the protocol does not allow; `details.client` names whose it is. */
export const refuse = (message: string, details: Record<string, unknown> = {}): FedloraError =>
  new FedloraError('E_PROTOCOL', `secure aggregation: ${message}`, details)

/** @throws FedloraError `E_ARGUMENT` for what is no state of a round. */
export function checkState(state: unknown): void {
  const { phase, setup } = Object(state)
  if (typeof phase !== 'string' || typeof setup !== 'object' || setup === null) {
    const message = `secure aggregation: got ${describeValue(state)}, expected the state that the step before gave`
    throw new FedloraError('E_ARGUMENT', message)
  }
}
