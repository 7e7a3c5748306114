/**
 * What the state of a server has in place of rounds where a federation has none (FedBuff): who is at work on what, and what lies in the buffer. Pure.
 * What a buffer does is `nextBuffer` of protocol/buffers.ts, as in a simulation. The work that began from the server's version v is called round v + 1:
 * a client may be at work on an earlier round than the one under way, and its answer then counts by its staleness.
 */
import { type AsynchronousConfig, asynchronousSchema } from '../asynchronous-options.js'
import type { BlobId } from '../blobs/blob-store.js'
import type { Manifest, Offer } from '../link/messages.js'
import { type Buffers, nextBuffer, stalenessScale, startBuffers } from '../protocol/buffers.js'
import type { RecordOf } from './records.js'

/** What a client is at work on. */
export interface Work {
  readonly round: number
  /** When it is waited for no longer, milliseconds since the epoch; null: it is for ever. */
  readonly deadline: number | null
  readonly offer: Omit<Offer, 'client'>
  /** Vectors for a client that has lost what it held; undefined: those of the offer do. */
  readonly whole: Offer['vectors'] | undefined
}

/** Work that came to nothing. */
export interface Fall {
  readonly client: string
  readonly round: number
  readonly type: 'refused' | 'failed' | 'declined'
  readonly code: string
  readonly why: string
}

export interface Buffering {
  readonly options: AsynchronousConfig
  buffers: Buffers
  readonly work: Map<string, Work>
  /** Answers in the buffer, by client. */
  readonly accepted: Map<string, Manifest>
  /** The last work of each client that came to nothing: it may be at work again before it has heard why. */
  readonly falls: Map<string, Fall>
  /** Work that came to nothing since the buffer opened. */
  fallen: Fall[]
  /** When it opened, milliseconds since the epoch. */
  since: number
  /** Names of those who could be asked since it opened, ascending. */
  population: readonly string[]
  /** A client's place among those who could be asked when it began: it says which part of a vector it sends. */
  readonly places: Map<string, number>
  /** Why the buffer is to end without a step. */
  cancelled: string | undefined
}

/** Of a federation's options, as its description has them; undefined: it has rounds. */
export function openBuffering({ asynchronous, rounds }: Record<string, unknown>, at: number): Buffering | undefined {
  if (asynchronous === undefined) return undefined
  const options = asynchronousSchema.parse(asynchronous)
  const { buffer: goal, maxStaleness = null } = options
  return {
    options,
    buffers: startBuffers(Number(rounds), { goal, maxStaleness }),
    work: new Map(),
    accepted: new Map(),
    falls: new Map(),
    fallen: [],
    since: at,
    population: [],
    places: new Map(),
    cancelled: undefined,
  }
}

function advance(buffering: Buffering, event: Parameters<typeof nextBuffer>[1]): void {
  buffering.buffers = nextBuffer(buffering.buffers, event).state
}

/** Versions that have come since a round's work began. */
export const stalenessOf = ({ buffers }: Buffering, round: number): number => buffers.version - (round - 1)

/** What the update of such an answer is scaled by. */
export const scaleOf = (buffering: Buffering, round: number): number =>
  stalenessScale(stalenessOf(buffering, round), buffering.options.exponent)

/** Whether an answer to a round would be too old to count. */
export function isStale(buffering: Buffering, round: number): boolean {
  const { maxStaleness } = buffering.buffers
  return maxStaleness !== null && stalenessOf(buffering, round) > maxStaleness
}

/** Somebody may be asked from now on. */
export function join(buffering: Buffering, client: string): void {
  if (!buffering.population.includes(client)) buffering.population = [...buffering.population, client].sort(byName)
}

const byName = (a: string, b: string) => (a < b ? -1 : 1)

export function start(buffering: Buffering, { at, round, deadline, work }: RecordOf<'start'>): void {
  const { buffers, places, population } = buffering
  // The first to begin opens the first buffer.
  if (buffers.version === 0 && buffers.started.length === 0) buffering.since = at
  for (const { clients, offer, whole } of work) {
    for (const client of clients) {
      buffering.work.set(client, { round, deadline, offer, whole })
      places.set(client, population.indexOf(client))
    }
  }
  advance(buffering, { type: 'start', clients: work.flatMap(({ clients }) => clients) })
}

export function accept(buffering: Buffering, { round, client, digest, manifest }: RecordOf<'accepted'>): void {
  buffering.work.delete(client)
  buffering.accepted.set(client, manifest)
  advance(buffering, { type: 'answer', version: round - 1, client, digest })
}

/** The work of a client comes to nothing. */
export function fall(buffering: Buffering, { client, round, type, code, why }: Fall): void {
  const fallen = { client, round, type, code, why }
  buffering.work.delete(client)
  buffering.falls.set(client, fallen)
  buffering.fallen.push(fallen)
  advance(buffering, { type: 'failure', version: round - 1, client, code })
}

/** The buffer closes with what it has, because nobody is left to fill it, or somebody says that nothing of it counts. */
export function close(buffering: Buffering, cancelled?: string): void {
  buffering.cancelled = cancelled
  advance(buffering, { type: 'cut', version: buffering.buffers.version })
}

/** Nobody is waited for any more. */
export function sendHome(buffering: Buffering, why: string): void {
  for (const [client, { round }] of [...buffering.work])
    fall(buffering, { client, round, type: 'failed', code: 'E_RUN_OVER', why })
}

/**
 * The buffer under way has ended, and the next one opens.
 * @param population - names of those who may be asked from now on, ascending.
 * @param abandoned - why it made no step; undefined: it made one.
 * @returns the round that each answer in it was of, by client.
 */
export function endBuffer(
  buffering: Buffering,
  { at, round }: { at: number; round: number },
  population: readonly string[],
  abandoned: string | undefined,
): Map<string, number> {
  const { accepted, falls, places } = buffering
  const rounds = new Map([...accepted].map(([client, { answer }]) => [client, answer.round]))
  for (const [client, of] of rounds) {
    places.delete(client)
    if (abandoned !== undefined)
      falls.set(client, { client, round: of, type: 'failed', code: 'E_ROUND_CLOSED', why: abandoned })
  }
  accepted.clear()
  Object.assign(buffering, { fallen: [], since: at, population, cancelled: undefined })
  advance(buffering, { type: 'finished', version: round - 1 })
  if (buffering.buffers.phase === 'done') sendHome(buffering, 'the federation has ended')
  return rounds
}

/** Blobs that those at work and the buffer need. */
export function* blobsAtWork({ work, accepted }: Buffering): Generator<BlobId> {
  for (const { offer, whole = {} } of work.values()) {
    for (const { blob } of [...Object.values(offer.vectors), ...Object.values(whole)]) yield blob
  }
  for (const { blob } of accepted.values()) if (blob !== null) yield blob.blob
}
