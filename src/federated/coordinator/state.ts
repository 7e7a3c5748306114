/**
 * The state of a federation's server as a fold over its journal. Pure: no clock, no file, nothing drawn. What a round does is `next` of
 * protocol/rounds.ts, as in a simulation; beside it stand who has joined, and what became of the rounds.
 */
import type { BlobId, BlobRef } from '../blobs/blob-store.js'
import type { Description, Manifest } from '../link/messages.js'
import { next, type Rounds, type RoundsEvent, startRounds } from '../protocol/rounds.js'
import * as buffer from './buffering.js'
import type { Checkpoint, Record as Entry, RecordOf } from './records.js'
import { beginSecure, deadlineNow, endPhase, type SecureState, underWay, type Without } from './secure-state.js'

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

/** The round that is under way, or ended last. */
export interface Current {
  readonly begun: RecordOf<'begin'>
  /** Those who could be asked. */
  readonly population: readonly string[]
  /** Answers that count, by client. */
  readonly accepted: Map<string, Manifest>
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
  buffering: buffer.Buffering | undefined
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
  for (const blob of buffering === undefined ? [] : buffer.blobsAtWork(buffering)) named.add(blob)
  return named
}

function advance(state: State, event: RoundsEvent): void {
  state.rounds = next(state.rounds, event).state
}

const bytesOf = (blob: BlobRef | null) => blob?.bytes ?? 0

function enrol(state: State, { client, token, key }: RecordOf<'enrolled'>): void {
  const known = state.members.get(client)
  if (known !== undefined) state.keys.delete(known.key)
  const fresh = { counted: 0, bytesUp: 0, held: 0, last: undefined }
  state.members.set(client, { ...(known ?? fresh), key, revoked: false })
  state.keys.set(key, client)
  if (state.buffering !== undefined) buffer.join(state.buffering, client)
  const used = state.tokens.get(token)
  if (used !== undefined) used.key = key
}

/** Somebody who was asked will not answer. */
function goWithout(state: State, record: RecordOf<'refused' | 'failed' | 'declined'>): void {
  const { type, round, client, code, why } = record
  if (state.buffering !== undefined) buffer.fall(state.buffering, record)
  else state.current!.without.set(client, { type, code, why })
  if (type === 'refused') state.members.get(client)!.last = { round, digest: record.digest, refused: { code, why } }
  if (state.buffering === undefined)
    advance(state, { type: 'failure', round, client, code: type === 'refused' ? 'refused' : code })
}

function end(state: State, record: RecordOf<'commit' | 'abandon'>): void {
  const { round, at, checkpoint, report, log } = record
  const { buffering, current } = state
  const { accepted } = (buffering ?? current)!
  const counted = new Set(record.type === 'commit' ? record.counted : [])
  for (const name of counted) {
    const member = state.members.get(name)!
    const { blob, answer } = accepted.get(name)!
    member.counted++
    member.bytesUp += bytesOf(blob)
    member.held = answer.round
  }
  const since = buffering?.since ?? current!.begun.at
  const without = buffering?.fallen ?? [...current!.without.values()]
  const asked = (buffering?.buffers.started ?? current!.begun.clients).length
  const abandoned = record.type === 'abandon' ? record.why : undefined
  const of = buffering && buffer.endBuffer(buffering, record, population(state), abandoned)
  state.ended.push({
    counted,
    ...(of && { of }),
    asked,
    refused: without.filter(({ type }) => type === 'refused').length,
    milliseconds: Math.max(0, at - since),
    abandoned,
    report,
    measured: undefined,
  })
  state.checkpoint = checkpoint
  state.log = log
  accepted.clear()
  if (buffering === undefined) advance(state, { type: 'finished', round })
}

/** The state after one record more; it is changed in place. */
export function apply(state: State, record: Entry): void {
  switch (record.type) {
    case 'run':
      state.description = record.description
      state.rules = record.rules
      state.rounds = startRounds(Number(record.description.federation.rounds))
      state.buffering = buffer.openBuffering(record.description.federation, record.at)
      return
    case 'invited':
      state.tokens.set(record.token, { client: record.client, expires: record.expires, key: undefined })
      return
    case 'enrolled':
      enrol(state, record)
      return
    case 'revoked':
      revoke(state, record.client)
      return
    case 'begin': {
      const { clients, goal, minimum } = record
      state.current = {
        begun: record,
        population: population(state),
        accepted: new Map(),
        without: new Map(),
        cancelled: undefined,
        spent: false,
        secure: beginSecure(record),
      }
      advance(state, { type: 'begin', clients, minimum, ...(goal !== null && { goal }) })
      return
    }
    case 'start':
      buffer.start(state.buffering!, record)
      return
    case 'said':
      state.current!.secure!.said[record.phase].set(record.client, record.message)
      return
    case 'phase': {
      const { round, abandoned } = record
      endPhase(state, record, (client, code) => advance(state, { type: 'failure', round, client, code }))
      if (abandoned !== undefined) advance(state, { type: 'deadline', round })
      return
    }
    case 'accepted': {
      const { round, client, digest, manifest } = record
      state.members.get(client)!.last = { round, digest, refused: undefined }
      if (state.buffering !== undefined) buffer.accept(state.buffering, record)
      else {
        state.current!.accepted.set(client, manifest)
        advance(state, { type: 'answer', round, client, digest })
      }
      return
    }
    case 'refused':
    case 'failed':
    case 'declined':
      goWithout(state, record)
      return
    case 'deadline':
      advance(state, { type: 'deadline', round: record.round })
      return
    case 'exhausted':
      buffer.close(state.buffering!)
      return
    case 'cancelled':
      cancel(state, `${record.who} ended the round`)
      return
    case 'spend':
      state.current!.spent = true
      state.spends.push(record)
      return
    case 'commit':
    case 'abandon':
      end(state, record)
      return
    case 'measured':
      state.ended[record.round - 1]!.measured = record.result
      return
    case 'pause':
    case 'resume':
      state.paused = record.type === 'pause'
      return
    case 'stop':
      state.stopped = record.why
      if (state.buffering !== undefined) buffer.sendHome(state.buffering, record.why)
      if (isUnderWay(state)) cancel(state, record.why)
      return
  }
}

/** Whether something has come of a step under way, or is waited for. */
export function isUnderWay({ rounds, buffering }: State): boolean {
  if (buffering === undefined) return rounds.phase === 'open'
  const { buffers, accepted, work } = buffering
  return buffers.phase === 'open' && (accepted.size > 0 || work.size > 0)
}

/** The step under way ends, and nothing of it counts. */
function cancel(state: State, why: string): void {
  if (state.buffering !== undefined) buffer.close(state.buffering, why)
  else {
    state.current!.cancelled = why
    advance(state, { type: 'deadline', round: state.rounds.round })
  }
}

/** A client that is shut out is waited for no longer; what it has answered counts as before. */
function revoke(state: State, client: string): void {
  const member = state.members.get(client)
  if (member !== undefined) member.revoked = true
  for (const [hash, token] of state.tokens)
    if (token.client === client && token.key === undefined) state.tokens.delete(hash)
  const round = waitedRound(state, client)
  if (round === undefined) return
  const why = 'its operator has shut it out'
  const { buffering } = state
  if (buffering !== undefined) buffer.fall(buffering, { client, round, type: 'failed', code: 'E_REVOKED', why })
  else {
    state.current!.without.set(client, { type: 'failed', code: 'E_REVOKED', why })
    advance(state, { type: 'failure', round, client, code: 'E_REVOKED' })
  }
}
