/**
 * The state of a federation's server, and what follows from it. Pure: no clock, no file, nothing drawn. It is the fold of the journal (apply.ts): the
 * rounds as in a simulation, who has joined, and what became of the rounds.
 */
import type { BlobId, BlobRef } from '../blobs/blob-store.js'
import type { Description, Manifest } from '../link/messages.js'
import { type Rounds, startRounds } from '../protocol/rounds.js'
import { type Buffering, blobsAtWork } from './buffering.js'
import type { Checkpoint, RecordOf } from './records.js'
import { deadlineNow, type SecureState, underWay, type Without } from './secure-state.js'

/** A token, by its hash. */
export interface Token {
  readonly client: string
  readonly expires: number
  /** Who used it; undefined: nobody. */
  key: string | undefined
}

/** A client that has joined. */
export interface Member {
  key: string
  revoked: boolean
  /** Rounds in which its answers counted, and the bytes of those. */
  counted: number
  bytesUp: number
  /** The last round that it kept the work of: it holds the adapter that it was sent then. 0: none. */
  held: number
  /** What it was last told of an answer. */
  last: Told | undefined
}

/** An answer, and what its client was told. */
export interface Told {
  readonly round: number
  readonly digest: string
  /** Why it will never count; undefined: it is taken. */
  readonly refused: { readonly code: string; readonly why: string } | undefined
}

/** An answer that is durable, and may count. */
export interface Received {
  readonly digest: string
  readonly manifest: Manifest
}

/** Answers that count, whose vectors are summed already. */
export interface Fold {
  readonly clients: readonly string[]
  /** The sums one after the other, in ascending order of their names; null: no vector was sent. */
  readonly partial: BlobRef | null
  /** Bytes of each. */
  readonly sums: Readonly<Record<string, number>>
}

/** The round that is under way, or ended last. */
export interface Current {
  readonly begun: RecordOf<'begin'>
  /** Those who could be asked. */
  readonly population: readonly string[]
  /** Answers that have come and wait for workers to screen them, by client in the order in which they came. */
  readonly received: Map<string, Received>
  /** Answers that count, by client. */
  readonly accepted: Map<string, Manifest>
  /** Sums that workers have made of some of those. */
  readonly folds: Fold[]
  /** Why others do not, by client. */
  readonly without: Map<string, Without>
  /** Why it is to end without a step. */
  cancelled: string | undefined
  spent: boolean
  /** Where updates travel masked. */
  readonly secure: SecureState | undefined
}

/** A round that has ended. */
export interface Ended {
  readonly counted: ReadonlySet<string>
  /** Without rounds: the round that each answer was of, by client. */
  readonly of?: ReadonlyMap<string, number>
  readonly asked: number
  readonly refused: number
  /** Milliseconds from its beginning to its end. */
  readonly milliseconds: number
  /** Why it made no step. */
  readonly abandoned: string | undefined
  readonly report: Readonly<RecordOf<'commit'>['report']>
  /** What its adapter was measured to, null where that failed; undefined: it was not. */
  measured: RecordOf<'measured'>['result'] | undefined
}

export interface State {
  description: Description | undefined
  rules: Readonly<RecordOf<'run'>['rules']>
  readonly tokens: Map<string, Token>
  readonly members: Map<string, Member>
  /** Names by key. */
  readonly keys: Map<string, string>
  rounds: Rounds
  current: Current | undefined
  /** In place of both where the federation has no rounds. */
  buffering: Buffering | undefined
  /** Rounds from the first on. */
  readonly ended: Ended[]
  checkpoint: Checkpoint | undefined
  /** Bytes of the event log when the last round ended. */
  log: number
  spends: RecordOf<'spend'>[]
  paused: boolean
  /** Why it was stopped; undefined: it was not. */
  stopped: string | undefined
}

export const emptyState = (): State => ({
  description: undefined,
  rules: {},
  tokens: new Map(),
  members: new Map(),
  keys: new Map(),
  rounds: startRounds(0),
  current: undefined,
  buffering: undefined,
  ended: [],
  checkpoint: undefined,
  log: 0,
  spends: [],
  paused: false,
  stopped: undefined,
})

/** Of the step under way. A round whose masks are still on is open. */
export const phaseOf = (state: State) =>
  underWay(state) === undefined ? (state.buffering?.buffers ?? state.rounds).phase : 'open'

/** Whether nothing will be asked any more. */
export function isOver(state: State): boolean {
  const phase = phaseOf(state)
  if (phase === 'done' || state.stopped === undefined) return phase === 'done'
  return phase === 'idle' || (state.buffering !== undefined && phase === 'open')
}

/** Clients that may be asked, in ascending order of their names. */
export const population = ({ members }: State): string[] =>
  [...members].flatMap(([name, { revoked }]) => (revoked ? [] : [name])).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))

/** How many they are. */
export function populationSize({ members }: State): number {
  let size = 0
  for (const { revoked } of members.values()) if (!revoked) size++
  return size
}

/** The round whose answer is waited for of a client; undefined: none is. */
export function waitedRound({ rounds, buffering }: State, client: string): number | undefined {
  if (buffering !== undefined) return buffering.work.get(client)?.round
  return rounds.phase === 'open' && rounds.waiting.includes(client) ? rounds.round : undefined
}

/** When a client that is waited for is waited for no longer, milliseconds since the epoch; null: it is for ever. */
export const deadlineOf = (state: State, client: string): number | null =>
  state.buffering === undefined ? deadlineNow(state) : state.buffering.work.get(client)!.deadline

/** Those who could be asked in the step under way, ascending. */
export const populationOf = (state: State): readonly string[] =>
  (state.buffering ?? state.current)?.population ?? population(state)

/** Place of a client among those who could be asked when it was. */
export const placeOf = (state: State, client: string): number =>
  state.buffering?.places.get(client) ?? populationOf(state).indexOf(client)

/** Whether a client may read a blob, whatever else is offered at the moment: what everybody begins with, and what it is at work on. */
export function isOffered({ description, buffering }: State, client: string, blob: BlobId): boolean {
  if (blob === description!.initial.blob) return true
  const { offer, whole = {} } = buffering?.work.get(client) ?? {}
  return [...Object.values(offer?.vectors ?? {}), ...Object.values(whole)].some((ref) => ref.blob === blob)
}

/** Blobs that the state names. */
export function blobsOf({ description, checkpoint, current, buffering }: State): Set<BlobId> {
  const named = new Set<BlobId>([description!.initial.blob])
  for (const { blob } of Object.values(checkpoint?.vectors ?? {})) named.add(blob)
  for (const { blob } of current?.accepted.values() ?? []) if (blob !== null) named.add(blob.blob)
  for (const { manifest } of current?.received.values() ?? []) if (manifest.blob !== null) named.add(manifest.blob.blob)
  for (const { partial } of current?.folds ?? []) if (partial !== null) named.add(partial.blob)
  for (const blob of buffering === undefined ? [] : blobsAtWork(buffering)) named.add(blob)
  return named
}

/** Whether something has come of a step under way, or is waited for. */
export function isUnderWay({ rounds, buffering }: State): boolean {
  if (buffering === undefined) return rounds.phase === 'open'
  const { buffers, accepted, work } = buffering
  return buffers.phase === 'open' && (accepted.size > 0 || work.size > 0)
}
