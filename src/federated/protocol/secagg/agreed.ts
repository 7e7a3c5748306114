/** What both sides of a secure aggregation compute alike: what is signed, and which key comes of which secret. */
import { le32, tagged } from './bytes.js'
import { agree, derive, isSignedBy } from './keys.js'
import type { Said } from './messages.js'
import { refuse } from './refuse.js'
import type { Setup } from './setup.js'

export const keysMessage = (
  setup: Setup,
  { client, sealingKey, maskKey }: Pick<Said<'keys'>, 'client' | 'sealingKey' | 'maskKey'>,
): Uint8Array => Buffer.concat([tagged('fl/keys/v1', setup, client), sealingKey, maskKey])

/** @throws FedloraError `E_PROTOCOL` for keys that their owner has not signed. */
export function checkKeys(setup: Setup, keys: Said<'keys'>): void {
  const { client, signature } = keys
  const identity = setup.identities[client]
  if (identity === undefined || !isSignedBy(identity, keysMessage(setup, keys), signature)) {
    throw refuse(`the signature of client ${client} does not fit its keys`, { client })
  }
}

/** What a sealed share is about, beside its text. */
export const about = (setup: Setup, from: number, to: number) => Buffer.concat([setup.round, le32(from, to)])

/** The key that seals what `from` sends to `to`. */
export const sealingKeyOf = (setup: Setup, own: Uint8Array, peer: Said<'keys'>, from: number, to: number) =>
  derive(agree(own, peer.sealingKey, peer.client), tagged('fl/share/v1', setup, from, to))

/** k_uv. Both sides derive the same. */
export const maskKeyOf = (
  setup: Setup,
  own: Uint8Array,
  publicKey: Uint8Array,
  one: number,
  other: number,
): Uint8Array =>
  derive(agree(own, publicKey, other), tagged('fl/mask/v1', setup, Math.min(one, other), Math.max(one, other)))

/** Key of the mask that a client's own seed makes. */
export const selfKeyOf = (setup: Setup, seed: Uint8Array, client: number): Uint8Array =>
  derive(seed, tagged('fl/self/v1', setup, client))

export const survivorsMessage = (setup: Setup, survivors: readonly number[]) =>
  tagged('fl/survivors/v1', setup, survivors.length, ...survivors)

/** @throws FedloraError `E_PROTOCOL` for a signature that is not of these survivors. */
export function checkSurvivors(
  setup: Setup,
  survivors: readonly number[],
  client: number,
  signature: Uint8Array,
): void {
  if (!isSignedBy(setup.identities[client]!, survivorsMessage(setup, survivors), signature)) {
    throw refuse(`the signature of client ${client} does not fit the survivors`, { client })
  }
}
