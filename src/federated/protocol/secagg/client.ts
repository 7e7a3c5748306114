/**
 * A client of a secure aggregation (Bonawitz et al. 2017, "Practical secure aggregation for privacy-preserving machine learning"): states and
 * messages, plain data. Every function takes a state and what the server said, and gives the next state and what to say.
 *
 *   enter → shareSecrets → maskVector → signSurvivors → revealShares
 *
 *   y_u = w·q(x_u) | w  + stream(b_u) + Σ_{v>u} stream(k_uv) − Σ_{v<u} stream(k_uv)      v: peers whose shares came
 *
 * A state is used once. What it must not give away it never gives: of one peer either the share of its seed or that of its mask key, and
 * only for one set of survivors.
 */
import { FedloraError } from '../../../errors.js'
import {
  about,
  checkKeys,
  checkSurvivors,
  keysMessage,
  maskKeyOf,
  sealingKeyOf,
  selfKeyOf,
  survivorsMessage,
} from './agreed.js'
import { isBytes, sameBytes } from './bytes.js'
import type { MaskingEngine } from './engine.js'
import { agree, agreementKeyOf, identityOf, seal, sign, unseal } from './keys.js'
import { keysSchema, opened, type Parcel, type Said, secaggVersion, type Told, toClientSchema } from './messages.js'
import { checkState, refuse } from './refuse.js'
import { checkSecrets, drawSecrets, type Secrets } from './secrets.js'
import { checkSetup, neighboursOf, type Setup } from './setup.js'
import { checkUpdate, type Update, wordsFor } from './update.js'

interface Member {
  readonly setup: Setup
  readonly client: number
  /** Ed25519 private key. */
  readonly identity: Uint8Array
  readonly secrets: Secrets
  /** Of everybody by number, ascending lists. */
  readonly graph: readonly (readonly number[])[]
}

/** It has said its keys. */
export interface Entered extends Member {
  readonly phase: 'entered'
}
/** It has shared its secrets with these peers, whose keys it knows. */
export interface Sharing extends Member {
  readonly phase: 'sharing'
  readonly peers: Readonly<Record<number, Said<'keys'>>>
}
/** A peer's secrets in part: what this client holds for it. */
interface Held {
  readonly mask: Uint8Array
  readonly seed: Uint8Array
}
/** It has sent its masked vector. */
export interface Masking extends Member {
  readonly phase: 'masking'
  /** Peers that it has masks with; null: their shares came damaged. */
  readonly held: Readonly<Record<number, Held | null>>
}
/** It has signed who survived. */
export interface Signing extends Omit<Masking, 'phase'> {
  readonly phase: 'signing'
  readonly survivors: readonly number[]
}
/** It has given what it gives. */
export interface Revealed {
  readonly phase: 'revealed'
  readonly setup: Setup
  readonly client: number
}

/** The next state, and what to say. */
export interface Step<State, Message> {
  readonly state: State
  readonly message: Message
}

function expectPhase(state: { phase: string; client: number }, phase: string, doing: string): void {
  checkState(state)
  if (state?.phase !== phase) {
    throw refuse(
      `client ${state?.client} ${doing} when it is '${phase}', and it is '${state?.phase}': a step is taken once`,
      {
        client: state?.client,
      },
    )
  }
}

function told<T extends Told<'roster'>['type'] | 'inbox' | 'survivors' | 'signatures'>(
  state: { setup: Setup; client: number },
  type: T,
  message: unknown,
): Told<T> {
  const known = opened(toClientSchema, message, state.setup)
  if (known.type !== type) throw refuse(`client ${state.client} was told '${known.type}', expected '${type}'`)
  if (known.client !== state.client) throw refuse(`client ${state.client} was told what is for client ${known.client}`)
  return known as Told<T>
}

const headerOf = ({ setup: { run, round }, client }: { setup: Setup; client: number }) =>
  ({ version: secaggVersion, run, round, client }) as const

/** A parcel of each peer once, from peers that are expected. */
function byPeer<P extends { peer: number }>(
  parcels: readonly P[],
  expected: readonly number[],
  what: string,
): Map<number, P> {
  const found = new Map<number, P>()
  for (const parcel of parcels) {
    const { peer } = parcel
    if (!expected.includes(peer)) throw refuse(`${what} of client ${peer}, which is no peer here`, { client: peer })
    if (found.has(peer)) throw refuse(`${what} of client ${peer} came twice`, { client: peer })
    found.set(peer, parcel)
  }
  return found
}

function enough(count: number, { setup: { threshold }, client }: { setup: Setup; client: number }, what: string): void {
  if (count >= threshold) return
  throw refuse(
    `client ${client} has ${count} peers ${what}, expected at least ${threshold}; it takes no further part`,
    { client, count, threshold },
  )
}

/**
 * A client enters a round: it draws keys and signs them.
 * @param given - its secrets: drawn, unless a test gives them.
 * @throws FedloraError `E_ARGUMENT` for a setup that would keep no secret, or an identity that is not this client's.
 */
export function enter(
  setup: Setup,
  client: number,
  identity: Uint8Array,
  given?: Secrets,
): Step<Entered, Said<'keys'>> {
  checkSetup(setup)
  const known = Number.isInteger(client) ? setup.identities[client] : undefined
  if (known === undefined || !isBytes(identity, 32) || !sameBytes(known, identityOf(identity))) {
    const message = `secure aggregation: the identity given is not the private key of client ${String(client)}`
    throw new FedloraError('E_ARGUMENT', message, { client })
  }
  const secrets = given === undefined ? drawSecrets(setup.threshold) : given
  checkSecrets(secrets, setup.threshold)
  const state: Entered = { phase: 'entered', setup, client, identity, secrets, graph: neighboursOf(setup) }
  const [sealingKey, maskKey] = [agreementKeyOf(secrets.sealing), agreementKeyOf(secrets.mask)]
  const signature = sign(identity, keysMessage(setup, { client, sealingKey, maskKey }))
  return { state, message: { ...headerOf(state), type: 'keys', sealingKey, maskKey, signature } }
}

/**
 * It knows its peers' keys, and seals a share of its secrets for each.
 * @throws FedloraError `E_PROTOCOL` naming whose signature does not fit or whose key is of low order; with too few peers; `E_FORMAT`.
 */
export function shareSecrets(state: Entered, roster: unknown, engine: MaskingEngine): Step<Sharing, Said<'shares'>> {
  expectPhase(state, 'entered', 'shares its secrets')
  const { setup, client, graph, secrets } = state
  const own = graph[client]!
  const { keys } = told(state, 'roster', roster)
  const peers: Record<number, Said<'keys'>> = {}
  for (const [peer, { peer: _, ...message }] of byPeer(
    keys.map((one) => ({ ...one, peer: one.client })),
    own,
    'keys',
  )) {
    opened(keysSchema, message, setup)
    checkKeys(setup, message)
    peers[peer] = message
  }
  enough(Object.keys(peers).length, state, 'with keys')
  const sealed = own.flatMap((peer, index): Parcel[] => {
    const theirs = peers[peer]
    if (theirs === undefined) return []
    agree(secrets.mask, theirs.maskKey, peer) // a key of low order is found before anything is sent
    const place = index + 1
    const shares = [
      engine.shamirShare(secrets.mask, secrets.coefficients.mask, place),
      engine.shamirShare(secrets.seed, secrets.coefficients.seed, place),
    ]
    const text = Buffer.concat([Uint8Array.of(place), ...shares])
    const bytes = seal(sealingKeyOf(setup, secrets.sealing, theirs, client, peer), text, about(setup, client, peer))
    return [{ peer, bytes }]
  })
  return { state: { ...state, phase: 'sharing', peers }, message: { ...headerOf(state), type: 'shares', sealed } }
}

/** A peer's shares as they were sealed; null when they are damaged, or not the ones for this client. */
function openShares(state: Sharing, peer: number, sealed: Uint8Array): Held | null {
  const { setup, client, secrets, graph } = state
  const key = sealingKeyOf(setup, secrets.sealing, state.peers[peer]!, peer, client)
  const text = unseal(key, sealed, about(setup, peer, client))
  if (text === undefined || text[0] !== graph[peer]!.indexOf(client) + 1) return null
  return { mask: text.slice(1, 33), seed: text.slice(33, 65) }
}

/**
 * It has shares of its peers, and masks its update.
 * @throws FedloraError `E_SHAPE`, `E_ARGUMENT`, `E_NONFINITE` for the update; `E_PROTOCOL` with too few peers; `E_FORMAT`.
 */
export function maskVector(
  state: Sharing,
  inbox: unknown,
  update: Update,
  engine: MaskingEngine,
): Step<Masking, Said<'masked'>> {
  expectPhase(state, 'sharing', 'masks its update')
  const { setup, client, identity, secrets, graph, peers } = state
  checkUpdate(setup, client, update)
  const parcels = byPeer(told(state, 'inbox', inbox).sealed, Object.keys(peers).map(Number), 'shares')
  enough(parcels.size, state, 'whose shares came')
  const held: Record<number, Held | null> = {}
  const added = [selfKeyOf(setup, secrets.seed, client)]
  const subtracted: Uint8Array[] = []
  for (const [peer, { bytes }] of parcels) {
    held[peer] = openShares(state, peer, bytes)
    const key = maskKeyOf(setup, secrets.mask, peers[peer]!.maskKey, client, peer)
    ;(peer > client ? added : subtracted).push(key)
  }
  const words = wordsFor(setup, client, update, engine)
  engine.addMasks(words, setup.wordBytes, Buffer.concat(added), Buffer.concat(subtracted))
  const damaged = Object.keys(held)
    .map(Number)
    .filter((peer) => held[peer] === null)
  const next: Masking = { phase: 'masking', setup, client, identity, secrets, graph, held }
  return { state: next, message: { ...headerOf(state), type: 'masked', words, damaged } }
}

const ascends = (list: readonly number[]) => list.every((value, i) => i === 0 || list[i - 1]! < value)

/**
 * It is told who survived, and signs that.
 * @throws FedloraError `E_PROTOCOL` for a second set, one without itself, or one with too few of its peers; `E_FORMAT`.
 */
export function signSurvivors(state: Masking, message: unknown): Step<Signing, Said<'signed'>> {
  expectPhase(state, 'masking', 'signs who survived')
  const { setup, client, identity, graph, held } = state
  const { survivors } = told(state, 'survivors', message)
  if (!ascends(survivors) || survivors.some((one) => one >= setup.identities.length)) {
    throw refuse('the survivors are no ascending list of clients')
  }
  if (!survivors.includes(client))
    throw refuse(`client ${client} is told that it did not survive, and gives nothing away`, { client })
  const peers = graph[client]!.filter((peer) => survivors.includes(peer))
  const stranger = peers.find((peer) => held[peer] === undefined)
  if (stranger !== undefined)
    throw refuse(`client ${stranger} is said to survive, and has shared nothing`, { client: stranger })
  enough(peers.length, state, 'that survived')
  const signature = sign(identity, survivorsMessage(setup, survivors))
  return {
    state: { ...state, phase: 'signing', survivors },
    message: { ...headerOf(state), type: 'signed', signature },
  }
}

/**
 * Its peers have signed the same survivors: it gives its shares of survivors' seeds, and of the mask keys of those that were lost.
 * @throws FedloraError `E_PROTOCOL` naming whose signature does not fit; with too few of them; `E_FORMAT`.
 */
export function revealShares(state: Signing, message: unknown): Step<Revealed, Said<'revealed'>> {
  expectPhase(state, 'signing', 'gives its shares')
  const { setup, client, graph, held, survivors } = state
  const peers = graph[client]!.filter((peer) => survivors.includes(peer))
  const signatures = byPeer(told(state, 'signatures', message).signatures, peers, 'a signature')
  for (const [peer, { bytes }] of signatures) checkSurvivors(setup, survivors, peer, bytes)
  enough(signatures.size, state, 'that signed the same survivors')
  const [seeds, maskKeys]: [Parcel[], Parcel[]] = [[], []]
  for (const peer of graph[client]!) {
    const own = held[peer]
    if (own === undefined || own === null) continue
    if (survivors.includes(peer)) seeds.push({ peer, bytes: own.seed })
    else maskKeys.push({ peer, bytes: own.mask })
  }
  return {
    state: { phase: 'revealed', setup, client },
    message: { ...headerOf(state), type: 'revealed', seeds, maskKeys },
  }
}
