/**
 * A federation's rounds as a pure state machine: events in, effects out. A simulation draws its events, a server receives them; the
 * journal of a federation is the list of its events, and folding `next` over it gives the state again.
 *
 *   idle ─begin→ open ─the last one asked has answered or failed, the goal is met, or the deadline→ closing ─finished→ idle, or done
 *
 * A round that closes with fewer answers than its minimum is abandoned: it ends as any other, and nothing of it counts. Who is asked beyond the
 * goal (over-selection) and comes after it is late. A late answer may count in a later round, where that round allows it.
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
  /** Answers after which the round closes, whoever is waited for; null: everyone is waited for. */
  readonly goal: number | null
  /** Answers below which the round is abandoned. */
  readonly minimum: number
  /** Rounds by which an answer may be late and still count; 0: none may. */
  readonly tolerance: number
  /** Asked in an earlier round, not heard of, and within some tolerance: the round, by client. */
  readonly owing: Readonly<Record<string, number>>
  /** Digests of answers to earlier rounds that count in this one, by client. */
  readonly belated: Readonly<Record<string, string>>
}

/** What a round goes by, beside who is asked. */
export interface RoundRules {
  readonly goal?: number
  readonly minimum?: number
  readonly tolerance?: number
}

export type RoundsEvent =
  | ({ readonly type: 'begin'; readonly clients: readonly string[] } & RoundRules)
  | { readonly type: 'answer'; readonly round: number; readonly client: string; readonly digest: string }
  | { readonly type: 'failure'; readonly round: number; readonly client: string; readonly code: string }
  /** An answer that had come does not count after all. */
  | { readonly type: 'withdrawal'; readonly round: number; readonly client: string; readonly code: string }
  | { readonly type: 'deadline'; readonly round: number }
  | { readonly type: 'finished'; readonly round: number }

/** Why an answer is not taken: of another round, from somebody who was not asked, or other than the one that counts. */
export type Refusal = 'late' | 'unasked' | 'contradicts'

export type RoundsEffect =
  | { readonly type: 'ask'; readonly round: number; readonly clients: readonly string[] }
  /** The answer counts: decode it, add it. `round` is the one that it answers. */
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
  /** Too few answered: what was added is forgotten, the state stays as it is. */
  | {
      readonly type: 'abandon'
      readonly round: number
      readonly answered: readonly string[]
      readonly missing: readonly string[]
    }
  | { readonly type: 'done' }

export interface Transition {
  readonly state: Rounds
  readonly effects: readonly RoundsEffect[]
}

/**
 * Before round `done` + 1.
 * @param owing - who was asked earlier and may still answer: the round, by client.
 */
export function startRounds(rounds: number, done = 0, owing: Readonly<Record<string, number>> = {}): Rounds {
  const phase = done >= rounds ? 'done' : 'idle'
  const rules = { goal: null, minimum: 0, tolerance: 0 }
  return { rounds, round: done, phase, waiting: [], answered: {}, failed: {}, ...rules, owing, belated: {} }
}

/** Nothing to wait for: the round closes. */
function closeIfComplete(state: Rounds, effects: readonly RoundsEffect[]): Transition {
  const { waiting, answered, goal } = state
  const complete = waiting.length === 0 || (goal !== null && Object.keys(answered).length >= goal)
  return complete ? close(state, effects) : { state, effects }
}

function close(state: Rounds, effects: readonly RoundsEffect[]): Transition {
  const { round, minimum, tolerance } = state
  const missing = [...Object.keys(state.failed), ...state.waiting].sort()
  const answered = Object.keys(state.answered).sort()
  const type = answered.length < minimum ? 'abandon' : 'finish'
  const late = tolerance === 0 ? [] : state.waiting.map((client) => [client, round] as const)
  const owing = { ...state.owing, ...Object.fromEntries(late) }
  return {
    state: { ...state, phase: 'closing', waiting: [], owing },
    effects: [...effects, { type, round, answered, missing }],
  }
}

const without = (list: readonly string[], name: string) => list.filter((one) => one !== name)

function omit<T>(record: Readonly<Record<string, T>>, name: string): Record<string, T> {
  return Object.fromEntries(Object.entries(record).filter(([key]) => key !== name))
}

type AnswerEvent = RoundsEvent & { type: 'answer' }

const refuse = (state: Rounds, { round, client }: AnswerEvent, why: Refusal): Transition => ({
  state,
  effects: [{ type: 'refuse', round, client, why }],
})

const acknowledge = (state: Rounds, { round, client }: AnswerEvent): Transition => ({
  state,
  effects: [{ type: 'acknowledge', round, client }],
})

/** An answer to an earlier round: it counts in the one under way when that tolerates its age. */
function belated(state: Rounds, event: AnswerEvent): Transition {
  const { round, client, digest } = event
  if (Object.hasOwn(state.belated, client)) {
    return state.belated[client] === digest ? acknowledge(state, event) : refuse(state, event, 'contradicts')
  }
  const owed = Object.hasOwn(state.owing, client) && state.owing[client] === round
  if (state.phase !== 'open' || !owed || state.round - round > state.tolerance) return refuse(state, event, 'late')
  const after = { ...state, owing: omit(state.owing, client), belated: { ...state.belated, [client]: digest } }
  return { state: after, effects: [{ type: 'add', round, client }] }
}

function answer(state: Rounds, event: AnswerEvent): Transition {
  const { round, client, digest } = event
  if (round < state.round) return belated(state, event)
  if (round !== state.round) return refuse(state, event, 'late')
  if (Object.hasOwn(state.answered, client)) {
    return state.answered[client] === digest ? acknowledge(state, event) : refuse(state, event, 'contradicts')
  }
  if (state.phase !== 'open') return refuse(state, event, 'late')
  if (!state.waiting.includes(client))
    return refuse(state, event, Object.hasOwn(state.failed, client) ? 'late' : 'unasked')
  const answered = { ...state.answered, [client]: digest }
  return closeIfComplete({ ...state, waiting: without(state.waiting, client), answered }, [
    { type: 'add', round, client },
  ])
}

function begin(state: Rounds, { clients, goal, minimum = 0, tolerance = 0 }: RoundsEvent & { type: 'begin' }) {
  const round = state.round + 1
  // Who is asked anew owes nothing of before, and what is older than this round tolerates is not waited for.
  const owing = Object.fromEntries(
    Object.entries(state.owing).filter(([client, of]) => round - of <= tolerance && !clients.includes(client)),
  )
  const rules = { goal: goal ?? null, minimum, tolerance }
  const asked = { waiting: clients, answered: {}, failed: {}, owing, belated: {} }
  return closeIfComplete({ ...state, round, phase: 'open', ...asked, ...rules }, [{ type: 'ask', round, clients }])
}

/** The state after an event, and what is to be done. An event that does not fit changes nothing and asks for nothing but a refusal. */
export function next(state: Rounds, event: RoundsEvent): Transition {
  const unchanged: Transition = { state, effects: [] }
  switch (event.type) {
    case 'begin':
      return state.phase === 'idle' ? begin(state, event) : unchanged
    case 'answer':
      return answer(state, event)
    case 'failure': {
      const { round, client, code } = event
      if (state.phase !== 'open' || round !== state.round || !state.waiting.includes(client)) return unchanged
      const failed = { ...state.failed, [client]: code }
      return closeIfComplete({ ...state, waiting: without(state.waiting, client), failed }, [])
    }
    case 'withdrawal': {
      const { round, client, code } = event
      if (round !== state.round || (state.phase !== 'open' && state.phase !== 'closing')) return unchanged
      if (!Object.hasOwn(state.answered, client)) return unchanged
      const failed = { ...state.failed, [client]: code }
      return { state: { ...state, answered: omit(state.answered, client), failed }, effects: [] }
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
