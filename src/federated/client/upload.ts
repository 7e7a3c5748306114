/** How an update leaves a client: what earlier messages left out is added, and what this one leaves out is kept. */
import { native } from '../../native/load.js'
import type { FederationConfig } from '../options.js'
import type { ResidualStore } from './residual-store.js'

/**
 * The message that carries `update`.
 * @param seed - of the stochastic rounding.
 * @param residuals - none without error feedback; the new residual counts when the round has ended.
 */
export async function encodeUpload(
  update: Float32Array,
  { client, round }: { client: number; round: number },
  { codec, density, bits }: FederationConfig['upload'],
  seed: number,
  residuals: ResidualStore | undefined,
): Promise<Uint8Array> {
  const before = (await residuals?.read(client)) ?? null
  const { bytes, residual } = native().encodeUpdate(update, before, { codec, density, bits, seed, inPlace: true })
  if (residual !== null) await residuals?.write(client, round, residual)
  return bytes
}
