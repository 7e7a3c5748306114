/**
 * A federation's rounds as a pure state machine: events in, effects out. A simulation draws its events, a server receives them; the
 * journal of a federation is the list of its events, and folding `next` over it gives the state again.
 *
 *   idle ─begin→ open ─the last one asked has answered or failed, or the deadline→ closing ─finished→ idle, or done
 */

export interface Rounds {
  /** To be done. */
  readonly rounds: number
  /** Under way, or the last that ended; 0 before the first. */
  readonly round: number
  readonly phase: 'idle' | 'open' | 'closing' | 'done'
  /** Asked and not heard of yet, as asked. */
  readonly waiting: readonly string[]
  /** Digest of each answer that counts, by client. */
  readonly answered: Readonly<Record<string, string>>
  /** Why a client will not answer, by client. */
  readonly failed: Readonly<Record<string, string>>
}

export type RoundsEvent =
  | { readonly type: 'begin'; readonly clients: readonly string[] }
  | { readonly type: 'answer'; readonly round: number; readonly client: string; readonly digest: string }
  | { readonly type: 'failure'; readonly round: number; readonly client: string; readonly code: string }
  | { readonly type: 'deadline'; readonly round: number }
  | { readonly type: 'finished'; readonly round: number }

/** Why an answer is not taken: of another round, from somebody who was not asked, or other than the one that counts. */
export type Refusal = 'late' | 'unasked' | 'contradicts'

export type RoundsEffect =
  | { readonly type: 'ask'; readonly round: number; readonly clients: readonly string[] }
  /** The answer counts: decode it, add it. */
  | { readonly type: 'add'; readonly round: number; readonly client: string }
  /** The very answer that counts already: acknowledge it once more. */
  | { readonly type: 'acknowledge'; readonly round: number; readonly client: string }
  | { readonly type: 'refuse'; readonly round: number; readonly client: string; readonly why: Refusal }
  /** The sums become the next state. */
  | {
      readonly type: 'finish'
      readonly round: number
      readonly answered: readonly string[]
      readonly missing: readonly string[]
    }
  | { readonly type: 'done' }

export interface Transition {
  readonly state: Rounds
  readonly effects: readonly RoundsEffect[]
}

/** Before round `done` + 1. */
export function startRounds(rounds: number, done = 0): Rounds {
  return { rounds, round: done, phase: done >= rounds ? 'done' : 'idle', waiting: [], answered: {}, failed: {} }
}

/** Nothing to wait for: the round closes. */
function closeIfComplete(state: Rounds, effects: readonly RoundsEffect[]): Transition {
  return state.waiting.length > 0 ? { state, effects } : close(state, effects)
}

function close(state: Rounds, effects: readonly RoundsEffect[]): Transition {
  const missing = [...Object.keys(state.failed), ...state.waiting].sort()
  const answered = Object.keys(state.answered).sort()
  const finish = { type: 'finish', round: state.round, answered, missing } as const
  return { state: { ...state, phase: 'closing', waiting: [] }, effects: [...effects, finish] }
}

const without = (list: readonly string[], name: string) => list.filter((one) => one !== name)

function answer(state: Rounds, { round, client, digest }: RoundsEvent & { type: 'answer' }): Transition {
  const refuse = (why: Refusal): Transition => ({ state, effects: [{ type: 'refuse', round, client, why }] })
  if (round !== state.round) return refuse('late')
  if (Object.hasOwn(state.answered, client)) {
    return state.answered[client] === digest
      ? { state, effects: [{ type: 'acknowledge', round, client }] }
      : refuse('contradicts')
  }
  if (state.phase !== 'open') return refuse('late')
  if (!state.waiting.includes(client)) return refuse(Object.hasOwn(state.failed, client) ? 'late' : 'unasked')
  const answered = { ...state.answered, [client]: digest }
  return closeIfComplete({ ...state, waiting: without(state.waiting, client), answered }, [
    { type: 'add', round, client },
  ])
}

/** The state after an event, and what is to be done. An event that does not fit changes nothing and asks for nothing but a refusal. */
export function next(state: Rounds, event: RoundsEvent): Transition {
  const unchanged: Transition = { state, effects: [] }
  switch (event.type) {
    case 'begin': {
      if (state.phase !== 'idle') return unchanged
      const round = state.round + 1
      const open: Rounds = { ...state, round, phase: 'open', waiting: event.clients, answered: {}, failed: {} }
      return closeIfComplete(open, [{ type: 'ask', round, clients: event.clients }])
    }
    case 'answer':
      return answer(state, event)
    case 'failure': {
      const { round, client, code } = event
      if (state.phase !== 'open' || round !== state.round || !state.waiting.includes(client)) return unchanged
      const failed = { ...state.failed, [client]: code }
      return closeIfComplete({ ...state, waiting: without(state.waiting, client), failed }, [])
    }
    case 'deadline':
      return state.phase === 'open' && event.round === state.round ? close(state, []) : unchanged
    case 'finished': {
      if (state.phase !== 'closing' || event.round !== state.round) return unchanged
      const done = state.round >= state.rounds
      return { state: { ...state, phase: done ? 'done' : 'idle' }, effects: done ? [{ type: 'done' }] : [] }
    }
  }
}
