/**
 * The state of a federation's server as a fold over its journal. Pure: no clock, no file, nothing drawn. What a round does is `next` of
 * protocol/rounds.ts, as in a simulation; beside it stand who has joined, and what became of the rounds.
 */
import type { BlobId, BlobRef } from '../blobs/blob-store.js'
import type { Description, Manifest } from '../link/messages.js'
import { next, type Rounds, type RoundsEvent, startRounds } from '../protocol/rounds.js'
import type { Checkpoint, Record as Entry, RecordOf } from './records.js'

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
  readonly without: Map<
    string,
    { readonly type: 'refused' | 'failed' | 'declined'; readonly code: string; readonly why: string }
  >
  /** Why it is to end without a step. */
  cancelled: string | undefined
  spent: boolean
}

/** A round that has ended. */
export interface Ended {
  readonly counted: ReadonlySet<string>
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
  ended: [],
  checkpoint: undefined,
  log: 0,
  spends: [],
  paused: false,
  stopped: undefined,
})

/** Whether nothing will be asked any more. */
export const isOver = ({ rounds, stopped }: State): boolean =>
  rounds.phase === 'done' || (stopped !== undefined && rounds.phase === 'idle')

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
export const waitedRound = ({ rounds }: State, client: string): number | undefined =>
  rounds.phase === 'open' && rounds.waiting.includes(client) ? rounds.round : undefined

/** When a client that is waited for is waited for no longer, milliseconds since the epoch; null: it is for ever. */
export const deadlineOf = ({ current }: State, _client: string): number | null => current!.begun.deadline

/** Whether what has come is to become the next state. */
export const isClosing = ({ rounds }: State): boolean => rounds.phase === 'closing'

/** Blobs that the state names. */
export function blobsOf({ description, checkpoint, current }: State): Set<BlobId> {
  const named = new Set<BlobId>([description!.initial.blob])
  for (const { blob } of Object.values(checkpoint?.vectors ?? {})) named.add(blob)
  for (const { blob } of current?.accepted.values() ?? []) if (blob !== null) named.add(blob.blob)
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
  const used = state.tokens.get(token)
  if (used !== undefined) used.key = key
}

/** Somebody who was asked will not answer. */
function goWithout(state: State, record: RecordOf<'refused' | 'failed' | 'declined'>): void {
  const { type, round, client, code, why } = record
  state.current!.without.set(client, { type, code, why })
  if (type === 'refused') state.members.get(client)!.last = { round, digest: record.digest, refused: { code, why } }
  advance(state, { type: 'failure', round, client, code: type === 'refused' ? 'refused' : code })
}

function end(state: State, record: RecordOf<'commit' | 'abandon'>): void {
  const { round, at, checkpoint, report, log } = record
  const { begun, accepted, without } = state.current!
  const counted = new Set(record.type === 'commit' ? record.counted : [])
  for (const name of counted) {
    const member = state.members.get(name)!
    member.counted++
    member.bytesUp += bytesOf(accepted.get(name)!.blob)
    member.held = round
  }
  state.ended.push({
    counted,
    asked: begun.clients.length,
    refused: [...without.values()].filter(({ type }) => type === 'refused').length,
    milliseconds: Math.max(0, at - begun.at),
    abandoned: record.type === 'abandon' ? record.why : undefined,
    report,
    measured: undefined,
  })
  state.checkpoint = checkpoint
  state.log = log
  accepted.clear()
  advance(state, { type: 'finished', round })
}

/** The state after one record more; it is changed in place. */
export function apply(state: State, record: Entry): void {
  switch (record.type) {
    case 'run':
      state.description = record.description
      state.rules = record.rules
      state.rounds = startRounds(Number(record.description.federation.rounds))
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
      }
      advance(state, { type: 'begin', clients, minimum, ...(goal !== null && { goal }) })
      return
    }
    case 'accepted': {
      const { round, client, digest, manifest } = record
      state.current!.accepted.set(client, manifest)
      state.members.get(client)!.last = { round, digest, refused: undefined }
      advance(state, { type: 'answer', round, client, digest })
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
    case 'cancelled':
      state.current!.cancelled = `${record.who} ended the round`
      advance(state, { type: 'deadline', round: record.round })
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
      if (state.current !== undefined && state.rounds.phase === 'open') {
        state.current.cancelled = record.why
        advance(state, { type: 'deadline', round: state.rounds.round })
      }
      return
  }
}

/** A client that is shut out is waited for no longer; what it has answered counts as before. */
function revoke(state: State, client: string): void {
  const member = state.members.get(client)
  if (member !== undefined) member.revoked = true
  for (const [hash, token] of state.tokens)
    if (token.client === client && token.key === undefined) state.tokens.delete(hash)
  if (waitedRound(state, client) === undefined) return
  const why = 'its operator has shut it out'
  state.current!.without.set(client, { type: 'failed', code: 'E_REVOKED', why })
  advance(state, { type: 'failure', round: state.rounds.round, client, code: 'E_REVOKED' })
}
