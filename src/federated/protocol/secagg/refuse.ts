import { FedloraError } from '../../../errors.js'

/** A message, or a step, that the protocol does not allow; `details.client` names whose it is. */
export const refuse = (message: string, details: Record<string, unknown> = {}): FedloraError =>
  new FedloraError('E_PROTOCOL', `secure aggregation: ${message}`, details)
