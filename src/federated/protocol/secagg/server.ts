/**
 * The server of a secure aggregation: it passes on what clients say, adds their masked vectors, and takes the masks off the sum. It never has what
 * would open one client's vector: of each it learns its seed's shares or its mask key's, not both.
 *
 *   openRound → receive … → close → (messages to clients) → receive … → close → … → unmaskedSum
 *
 * A state is plain data and used once: the sum is added to in place.
 */
import { FedloraError } from '../../../errors.js'
import { checkKeys, checkSurvivors } from './agreed.js'
import type { MaskingEngine } from './engine.js'
import { type FromClient, fromClientSchema, opened, type Parcel, type Said } from './messages.js'
import { checkState, refuse } from './refuse.js'
import { checkSetup, neighboursOf, type Setup, wordsOf } from './setup.js'

export type ServerPhase = 'keys' | 'shares' | 'masked' | 'signed' | 'revealed'

/** What was said in a phase, by client. */
type Sayings<T extends FromClient['type']> = Readonly<Record<number, Said<T>>>

export interface AggregationState {
  readonly setup: Setup
  /** What clients are to say now; 'unmask': all is there; 'abandoned': there will be no sum. */
  readonly phase: ServerPhase | 'unmask' | 'abandoned'
  /** Why there will be none. */
  readonly abandoned?: string
  readonly graph: readonly (readonly number[])[]
  readonly keys: Sayings<'keys'>
  readonly shares: Sayings<'shares'>
  /** Those whose masked vectors are in the sum, and whose shares each of them could not open. */
  readonly survivors: readonly number[]
  readonly damaged: Readonly<Record<number, readonly number[]>>
  /** Σ of masked words. */
  readonly sum: Uint8Array
  readonly signed: Sayings<'signed'>
  readonly revealed: Sayings<'revealed'>
}

/** Opens a round. @throws FedloraError `E_ARGUMENT` for a setup that could not work. */
export function openRound(setup: Setup): AggregationState {
  checkSetup(setup)
  return {
    setup,
    phase: 'keys',
    graph: neighboursOf(setup),
    keys: {},
    shares: {},
    survivors: [],
    damaged: {},
    sum: new Uint8Array(setup.wordBytes * wordsOf(setup)),
    signed: {},
    revealed: {},
  }
}

/** Those who have been part of a phase, ascending. */
export const saying = (sayings: object): number[] =>
  Object.keys(sayings)
    .map(Number)
    .sort((a, b) => a - b)

/** Those who may speak in a phase: who spoke in the one before. */
function speakers(state: AggregationState): readonly number[] {
  const { phase, setup, keys, shares, survivors, signed } = state
  switch (phase) {
    case 'keys':
      return setup.identities.map((_, client) => client)
    case 'shares':
      return saying(keys)
    case 'masked':
      return saying(shares)
    case 'signed':
      return survivors
    case 'revealed':
      return saying(signed)
    default:
      return []
  }
}

function hasSpoken({ phase, survivors, ...state }: AggregationState, client: number): boolean {
  return phase === 'masked' ? survivors.includes(client) : Object.hasOwn(state[phase as 'keys'], client)
}

const of = (parcels: readonly Parcel[]) => parcels.map(({ peer }) => peer)

/** Peers of parcels: each once, and of those allowed. */
function checkPeers(client: number, peers: readonly number[], allowed: readonly number[], what: string): void {
  if (new Set(peers).size !== peers.length)
    throw refuse(`client ${client} gives ${what} for one peer twice`, { client })
  const stranger = peers.find((peer) => !allowed.includes(peer))
  if (stranger !== undefined)
    throw refuse(`client ${client} gives ${what} for client ${stranger}, which it must not`, { client, peer: stranger })
}

/** Peers of a client among those. */
export const peersIn = ({ graph }: AggregationState, client: number, those: readonly number[]) =>
  graph[client]!.filter((peer) => those.includes(peer))

/** Shares for every peer: one without them would have no masks with a client that has masks with it. */
function checkShares(state: AggregationState, { client, sealed }: Said<'shares'>): void {
  const peers = peersIn(state, client, saying(state.keys))
  checkPeers(client, of(sealed), peers, 'shares')
  if (sealed.length < peers.length) {
    throw refuse(`client ${client} gives shares for ${sealed.length} peers, expected ${peers.length}`, { client })
  }
}

function checkMasked(state: AggregationState, { client, words, damaged }: Said<'masked'>): void {
  const { sum, setup, shares } = state
  checkPeers(client, damaged, peersIn(state, client, saying(shares)), 'a complaint')
  if (words.length === sum.length) return
  const message = `secure aggregation: client ${client}: ${words.length} bytes of masked words, expected ${sum.length} (${wordsOf(setup)} words of ${setup.wordBytes})`
  throw new FedloraError('E_SHAPE', message, { client, got: words.length, expected: sum.length })
}

function checkRevealed(state: AggregationState, { client, seeds, maskKeys }: Said<'revealed'>): void {
  const { survivors, shares } = state
  const peers = peersIn(state, client, saying(shares))
  checkPeers(
    client,
    of(seeds),
    peers.filter((peer) => survivors.includes(peer)),
    'a seed’s share',
  )
  checkPeers(
    client,
    of(maskKeys),
    peers.filter((peer) => !survivors.includes(peer)),
    'a mask key’s share',
  )
}

/** A share of a client's secret, as a peer gave it back. */
export interface Share {
  readonly client: number
  readonly place: number
  readonly bytes: Uint8Array
}

/** Every share that was revealed of a client's seed, or of its mask key. */
export function revealedOf({ graph, revealed }: AggregationState, whose: number, kind: 'seeds' | 'maskKeys'): Share[] {
  return graph[whose]!.flatMap((client, index) => {
    const parcel = revealed[client]?.[kind].find(({ peer }) => peer === whose)
    return parcel === undefined ? [] : [{ client, place: index + 1, bytes: parcel.bytes }]
  })
}

/**
 * What a client says, if it may be taken now.
 * @throws FedloraError naming the client in `details.client`: `E_FORMAT`, `E_SHAPE`; `E_PROTOCOL` for a message of another round or phase, of
 * somebody who has no say in it, one that came before, or a signature that does not fit.
 */
export function check(state: AggregationState, message: unknown): FromClient {
  checkState(state)
  const said = opened(fromClientSchema, message, state.setup)
  const { client, type } = said
  const { phase, setup } = state
  if (type !== phase)
    throw refuse(`client ${client} says '${type}' while '${phase}' is due: it comes too late, too early or again`, {
      client,
      type,
      phase,
    })
  if (!speakers(state).includes(client))
    throw refuse(`client ${client} has no say in '${phase}': it is no part of the round, or was lost before`, {
      client,
    })
  if (hasSpoken(state, client)) throw refuse(`client ${client} says '${type}' a second time`, { client, type })
  switch (type) {
    case 'keys':
      checkKeys(setup, said)
      break
    case 'shares':
      checkShares(state, said)
      break
    case 'masked':
      checkMasked(state, said)
      break
    case 'signed':
      checkSurvivors(setup, state.survivors, client, said.signature)
      break
    case 'revealed':
      checkRevealed(state, said)
  }
  return said
}

/**
 * Takes what a client says.
 * @throws FedloraError as `check`; nothing is counted then.
 */
export function receive(state: AggregationState, message: unknown, engine: MaskingEngine): AggregationState {
  const said = check(state, message)
  const { client, type } = said
  if (type !== 'masked') return { ...state, [type]: { ...state[type], [client]: said } }
  const { sum, setup, survivors, damaged } = state
  engine.addWords(sum, setup.wordBytes, said.words)
  return {
    ...state,
    survivors: [...survivors, client].sort((a, b) => a - b),
    damaged: { ...damaged, [client]: said.damaged },
  }
}
