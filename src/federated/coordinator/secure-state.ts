/**
 * The secure aggregation of a round in the state of a server: which phase it is in, and what was said. Pure; whether it fits was checked before it
 * was written down.
 *
 *   keys → shares → masked (the work: answers, as in the open) → signed → revealed → done
 */
import type { Manifest } from '../link/messages.js'
import type { Agreed } from '../link/secure.js'
import type { Rounds } from '../protocol/rounds.js'
import type { ServerPhase } from '../protocol/secagg/server.js'
import type { RecordOf } from './records.js'

/** Phases in which a client says nothing but a message. */
export type SpokenPhase = Exclude<ServerPhase, 'masked'>

export const phases: readonly ServerPhase[] = ['keys', 'shares', 'masked', 'signed', 'revealed']

export interface SecureState {
  readonly agreed: Agreed
  /** Of all who were asked, by number. */
  readonly names: readonly string[]
  phase: ServerPhase | 'done'
  /** When the phase ends at the latest; null: when all have spoken. */
  deadline: number | null
  /** Messages as they were carried, by client. */
  readonly said: Readonly<Record<SpokenPhase, Map<string, string>>>
}

/** Why a client that was asked gives no answer that counts. */
export interface Without {
  readonly type: 'refused' | 'failed' | 'declined'
  readonly code: string
  readonly why: string
}

/** What of a server's state decides how a secure aggregation goes on. */
interface State {
  readonly rounds: Rounds
  readonly members: ReadonlyMap<string, { readonly revoked: boolean }>
  readonly current:
    | {
        readonly begun: RecordOf<'begin'>
        readonly accepted: ReadonlyMap<string, Manifest>
        readonly without: Map<string, Without>
        cancelled: string | undefined
        readonly secure: SecureState | undefined
      }
    | undefined
}

export function beginSecure({ secure, clients, deadline }: RecordOf<'begin'>): SecureState | undefined {
  if (secure === undefined) return undefined
  const said = { keys: new Map(), shares: new Map(), signed: new Map(), revealed: new Map() }
  return { agreed: secure, names: [...clients].sort(), phase: 'keys', deadline, said }
}

/** The secure aggregation that is under way; undefined: none is, or the round is to end without a step. */
export function underWay({ rounds, current }: State): SecureState | undefined {
  const { secure, cancelled } = current ?? {}
  if (secure === undefined || secure.phase === 'done' || cancelled !== undefined) return undefined
  return rounds.phase === 'open' || rounds.phase === 'closing' ? secure : undefined
}

/** Who may speak in a phase: who has spoken in the one before. */
function speakers({ current }: State, { phase, names, said }: SecureState): Iterable<string> {
  switch (phase) {
    case 'keys':
      return names
    case 'shares':
      return said.keys.keys()
    case 'signed':
      return [...current!.accepted].flatMap(([name, { answer }]) => (answer.loss === null ? [] : [name]))
    case 'revealed':
      return said.signed.keys()
    default:
      return []
  }
}

/** Clients whose message the phase waits for, in ascending order; in 'masked', where answers are waited for, none. */
export function silentIn(state: State): string[] {
  const secure = underWay(state)
  if (secure === undefined || secure.phase === 'masked') return []
  const { without } = state.current!
  const spoken = secure.said[secure.phase as SpokenPhase]
  const waits = (name: string) => !spoken.has(name) && !without.has(name) && !state.members.get(name)!.revoked
  return [...speakers(state, secure)].filter(waits).sort()
}

/** Whether nothing more is waited for in the phase. */
export function isPhaseOver(state: State, now: number): boolean {
  const secure = underWay(state)
  if (secure === undefined) return false
  const { phase, deadline } = secure
  const closing = state.rounds.phase === 'closing'
  if (phase === 'masked') return closing
  if (closing && (phase === 'keys' || phase === 'shares')) return true
  return silentIn(state).length === 0 || (deadline !== null && deadline <= now)
}

/** When what is waited for in a round is waited for no longer, milliseconds since the epoch; null: there is no such time. */
export function deadlineNow(state: State): number | null {
  const secure = underWay(state)
  if (secure !== undefined && (state.rounds.phase === 'open' || secure.phase !== 'masked')) return secure.deadline
  return state.rounds.phase === 'open' ? state.current!.begun.deadline : null
}

/** Whether the round itself, and not a phase before or after the work, closes at the deadline. */
export const isWorkDeadline = (state: State): boolean => (underWay(state)?.phase ?? 'masked') === 'masked'

/** What those have not done who are lost at the end of a phase. */
const lost = { keys: 'it did not say its keys in time', shares: 'it did not share its secrets in time' }

/** The phase ends. @param fail - told of each client that is lost before its work. */
export function endPhase(
  state: State,
  { phase, deadline, abandoned }: RecordOf<'phase'>,
  fail: (client: string, code: string) => void,
): void {
  const current = state.current!
  const secure = current.secure!
  if (phase === 'keys' || phase === 'shares') {
    for (const client of silentIn(state)) {
      current.without.set(client, { type: 'failed', code: 'E_ROUND_CLOSED', why: lost[phase] })
      fail(client, 'E_ROUND_CLOSED')
    }
  }
  secure.phase = abandoned === undefined ? (phases[phases.indexOf(phase) + 1] ?? 'done') : 'done'
  secure.deadline = deadline
  if (abandoned !== undefined) current.cancelled ??= abandoned
}
