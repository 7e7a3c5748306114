/**
 * Secure aggregation over the engine: a server learns the weighted mean of its clients' updates and no single one. The protocol's messages are
 * plain data for whatever network there is; states are plain data for whoever keeps them.
 */
import { randomBytes } from 'node:crypto'
import {
  type Entered,
  enter,
  type Masking,
  maskVector,
  type Sharing,
  type Step,
  shareSecrets as share,
} from '../federated/protocol/secagg/client.js'
import { identityOf } from '../federated/protocol/secagg/keys.js'
import type { Said, ToClient } from '../federated/protocol/secagg/messages.js'
import type { Secrets } from '../federated/protocol/secagg/secrets.js'
import { type AggregationState, receive } from '../federated/protocol/secagg/server.js'
import type { Setup } from '../federated/protocol/secagg/setup.js'
import { type Unmasked, unmask } from '../federated/protocol/secagg/unmask.js'
import type { Update } from '../federated/protocol/secagg/update.js'
import { native } from '../native/load.js'

export {
  type Entered,
  type Masking,
  type Revealed,
  revealShares,
  type Sharing,
  type Signing,
  type Step,
  signSurvivors,
} from '../federated/protocol/secagg/client.js'
export { type Closed, close as closePhase } from '../federated/protocol/secagg/close.js'
export {
  type FromClient,
  fromClientSchema,
  type ToClient,
  toClientSchema,
} from '../federated/protocol/secagg/messages.js'
export type { Secrets } from '../federated/protocol/secagg/secrets.js'
export { type AggregationState, openRound } from '../federated/protocol/secagg/server.js'
export type { Setup } from '../federated/protocol/secagg/setup.js'
export type { Unmasked } from '../federated/protocol/secagg/unmask.js'
export type { Update } from '../federated/protocol/secagg/update.js'

/** An Ed25519 pair that a client signs with in every round: 32 bytes each. The private key stays with its client. */
export function createIdentity(): { privateKey: Uint8Array; publicKey: Uint8Array } {
  const privateKey = new Uint8Array(randomBytes(32))
  return { privateKey, publicKey: identityOf(privateKey) }
}

/**
 * A client enters a round: it draws keys for it and signs them.
 * @param secrets - drawn from the system's generator when left out, as they must be; tests with fixed vectors give them.
 * @throws FedloraError `E_ARGUMENT` for a setup that could not work or would keep no secret, or another client's identity.
 */
export function enterRound(
  setup: Setup,
  client: number,
  privateKey: Uint8Array,
  secrets?: Secrets,
): Step<Entered, Said<'keys'>> {
  return enter(setup, client, privateKey, secrets)
}

/**
 * A client knows its peers' keys and seals for each a share of its secrets.
 * @throws FedloraError `E_PROTOCOL` naming in `details.client` whose signature does not fit or whose key is of low order, or when too few
 * peers are there; `E_FORMAT` for what is no such message.
 */
export function shareSecrets(state: Entered, roster: ToClient): Step<Sharing, Said<'shares'>> {
  return share(state, roster, native())
}

/**
 * A client masks its update: values clipped to ±clip and quantised at random to a grid of 2^bits, times its weight, plus masks that only the sum
 * over all survivors is rid of. What it sends is uniform to whoever lacks its peers' keys.
 * @throws FedloraError `E_SHAPE`, `E_ARGUMENT`, `E_NONFINITE` for the update; `E_PROTOCOL` with too few peers, or for a state that was used.
 */
export function maskUpdate(state: Sharing, inbox: ToClient, update: Update): Step<Masking, Said<'masked'>> {
  return maskVector(state, inbox, update, native())
}

/**
 * The server takes what a client says; a masked vector is added to the state's sum in place.
 * @throws FedloraError naming the client in `details.client`, with nothing counted: `E_FORMAT`, `E_SHAPE`, `E_PROTOCOL`.
 */
export function receiveMessage(state: AggregationState, message: unknown): AggregationState {
  return receive(state, message, native())
}

/**
 * The server takes the masks off the sum, after all phases.
 * @returns mean: Σ w·x / Σ w to a step of the grid, 2·clip/(2^bits − 1), where no value was clipped; weight: Σ w.
 * @throws FedloraError `E_PROTOCOL` when the round was abandoned or has not ended, or shares contradict one another.
 */
export function unmaskSum(state: AggregationState): Unmasked {
  return unmask(state, native())
}
