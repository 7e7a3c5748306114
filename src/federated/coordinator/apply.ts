/**
 * The journal of a federation's server folded into its state, record by record. Pure: no clock, no file, nothing drawn. What a round does is `next` of
 * protocol/rounds.ts, as in a simulation.
 */
import type { BlobRef } from '../blobs/blob-store.js'
import { next, type RoundsEvent, startRounds } from '../protocol/rounds.js'
import * as buffer from './buffering.js'
import type { Record as Entry, RecordOf } from './records.js'
import { beginSecure, endPhase } from './secure-state.js'
import { isUnderWay, population, type State, waitedRound } from './state.js'

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

/** A worker has screened answers, and summed those that count. */
function fold(state: State, { round, partial, sums, accepted, refused }: RecordOf<'folded'>): void {
  const current = state.current!
  for (const client of accepted) {
    current.accepted.set(client, current.received.get(client)!.manifest)
    current.received.delete(client)
  }
  current.folds.push({ clients: accepted, partial, sums })
  for (const { client, code, why } of refused) {
    const { digest } = current.received.get(client)!
    current.received.delete(client)
    current.without.set(client, { type: 'refused', code, why })
    state.members.get(client)!.last = { round, digest, refused: { code, why } }
    advance(state, { type: 'withdrawal', round, client, code: 'refused' })
  }
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
  current?.received.clear()
  current?.folds.splice(0)
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
        received: new Map(),
        accepted: new Map(),
        folds: [],
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
    case 'received': {
      const { round, client, digest, manifest } = record
      state.members.get(client)!.last = { round, digest, refused: undefined }
      state.current!.received.set(client, { digest, manifest })
      advance(state, { type: 'answer', round, client, digest })
      return
    }
    case 'folded':
      fold(state, record)
      return
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
