/** What a client draws for one round. */
import { randomBytes } from 'node:crypto'
import { FedloraError } from '../../../errors.js'
import { isBytes } from './bytes.js'

export interface Secrets {
  /** X25519 private keys. */
  readonly sealing: Uint8Array
  readonly mask: Uint8Array
  /** b: of its own mask. */
  readonly seed: Uint8Array
  /** Coefficients of the sharing: threshold − 1 times 32 bytes each. */
  readonly coefficients: { readonly mask: Uint8Array; readonly seed: Uint8Array }
}

export function drawSecrets(threshold: number): Secrets {
  const draw = (count = 1) => new Uint8Array(randomBytes(32 * count))
  const coefficients = { mask: draw(threshold - 1), seed: draw(threshold - 1) }
  return { sealing: draw(), mask: draw(), seed: draw(), coefficients }
}

/** @throws FedloraError `E_ARGUMENT`. */
export function checkSecrets(secrets: Secrets, threshold: number): void {
  const { sealing, mask, seed, coefficients } = Object(secrets) as Secrets
  const whole = [sealing, mask, seed].every((secret) => isBytes(secret, 32))
  const shared = [coefficients?.mask, coefficients?.seed].every((list) => isBytes(list, 32 * (threshold - 1)))
  if (!whole || !shared) {
    const message = `secure aggregation: secrets are keys and a seed of 32 bytes, and coefficients of 32 × ${threshold - 1}; leave them out, and they are drawn`
    throw new FedloraError('E_ARGUMENT', message)
  }
}
