/** What a record tells, once it is part of the state. Pure: a log follows from the journal. */
import type { RoundEvent } from '../events.js'
import type { CoordinatorEvent, PhaseEvent } from './events.js'
import type { Record as Entry, RecordOf } from './records.js'
import { populationOf, type State } from './state.js'

/** An answer that counts from now on. */
type Counted = Pick<RecordOf<'accepted'>, 'round' | 'client' | 'manifest' | 'staleness'>

function answered(state: State, { round, client: name, manifest, staleness }: Counted): CoordinatorEvent {
  const { rows, loss, steps, tokens, numbers } = manifest.answer
  const beside = 8 * Object.values(numbers).reduce((sum, list) => sum + list.length, 0)
  const bytesUp = beside + (manifest.blob?.bytes ?? 0)
  const client = populationOf(state).indexOf(name)
  const report = { client, name, rows, loss, steps, tokens, bytesUp }
  const { buffering } = state
  if (buffering === undefined) return { type: 'client', round, ...report }
  const buffer = { answers: buffering.accepted.size, size: buffering.options.buffer }
  return { type: 'client', round, ...report, staleness: staleness!, buffer }
}

/** What workers have found of answers, each as if it had been found when it came. */
function folded(state: State, { round, accepted, refused }: RecordOf<'folded'>): CoordinatorEvent[] {
  const { accepted: manifests } = state.current!
  return [
    ...accepted.map((client) => answered(state, { round, client, manifest: manifests.get(client)! })),
    ...refused.map(({ client: name, code, why: message }) => ({
      type: 'refused' as const,
      name,
      round,
      code,
      message,
    })),
  ]
}

/** @param state - with the record. None: it tells nothing. */
export function eventsOf(record: Entry, state: State): CoordinatorEvent[] {
  if (record.type === 'folded') return folded(state, record)
  const event = eventOf(record, state)
  return event === undefined ? [] : [event]
}

function eventOf(record: Entry, state: State): CoordinatorEvent | undefined {
  switch (record.type) {
    case 'enrolled':
      return { type: 'joined', name: record.client }
    case 'revoked':
      return { type: 'left', name: record.client }
    case 'begin': {
      const { round, clients, deadline } = record
      return { type: 'begin', round, rounds: state.rounds.rounds, clients, deadline }
    }
    case 'start': {
      const { round, work, deadline } = record
      const clients = work.flatMap((group) => group.clients).sort()
      return { type: 'begin', round, rounds: state.rounds.rounds, clients, deadline }
    }
    case 'phase': {
      const { round, deadline } = record
      return { type: 'phase', round, phase: state.current!.secure!.phase as PhaseEvent['phase'], deadline }
    }
    case 'accepted':
      return answered(state, record)
    case 'refused':
    case 'failed':
    case 'declined': {
      const { type, client: name, round, code, why: message } = record
      return { type, name, round, code, message }
    }
    case 'commit':
    case 'abandon':
      return record.report as unknown as RoundEvent
    case 'measured': {
      const { round, result } = record
      return result === null ? undefined : { type: 'evaluation', round, of: 'global', ...result }
    }
    case 'pause':
    case 'resume':
    case 'stop':
      return { type: record.type, who: record.who }
    default:
      return undefined
  }
}
