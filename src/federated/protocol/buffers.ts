/**
 * A federation without rounds as a pure state machine: events in, effects out. So many clients are at work at any time, each from the version
 * of the state that it began with; what they answer goes into a buffer, and a full one becomes the next version.
 *
 *   open ─the goal is met, nobody is left, or it is cut→ closing ─finished→ open, or done
 *
 * Nobody starts twice from one version, nor while an answer of it is in the buffer: its draws are made from the version and its name.
 *
 * Source: Nguyen, Malik, Zhan, Yousefpour, Rabbat, Malek, Huba 2022, "Federated learning with buffered asynchronous aggregation" (FedBuff),
 * algorithm 1; Huba et al. 2022, "Papaya: practical, private, and scalable federated learning" (the limits on clients at work and on staleness).
 */

export interface BufferRules {
  /** K: answers in a full buffer. */
  readonly goal: number
  /** Versions that an answer may be behind; null: any number. */
  readonly maxStaleness: number | null
}

export interface Buffers extends BufferRules {
  /** To be done. */
  readonly versions: number
  /** Steps that the server has made. */
  readonly version: number
  readonly phase: 'open' | 'closing' | 'done'
  /** Clients at work: the version that each began from. */
  readonly working: Readonly<Record<string, number>>
  /** Digests of the answers in the buffer, by client. */
  readonly buffered: Readonly<Record<string, string>>
  /** Who has begun from this version, in that order. */
  readonly started: readonly string[]
}

export type BuffersEvent =
  | { readonly type: 'start'; readonly clients: readonly string[] }
  | { readonly type: 'answer'; readonly version: number; readonly client: string; readonly digest: string }
  | { readonly type: 'failure'; readonly version: number; readonly client: string; readonly code: string }
  /** Nobody is at work, and nobody is left who could be. */
  | { readonly type: 'exhausted'; readonly version: number }
  /** The buffer closes with what it has, whoever is at work. */
  | { readonly type: 'cut'; readonly version: number }
  | { readonly type: 'finished'; readonly version: number }

export type BuffersEffect =
  | { readonly type: 'ask'; readonly version: number; readonly clients: readonly string[] }
  /** The answer counts: `staleness` versions have come since it began. */
  | { readonly type: 'add'; readonly version: number; readonly client: string; readonly staleness: number }
  | { readonly type: 'acknowledge'; readonly version: number; readonly client: string }
  | { readonly type: 'refuse'; readonly version: number; readonly client: string; readonly why: 'stale' | 'unasked' }
  /** The sums become the next version. */
  | { readonly type: 'finish'; readonly version: number; readonly answered: readonly string[] }
  | { readonly type: 'done' }

export interface BuffersTransition {
  readonly state: Buffers
  readonly effects: readonly BuffersEffect[]
}

/**
 * At `version`, with an empty buffer.
 * @param working - who is at work already, and the version that each began from.
 */
export function startBuffers(
  versions: number,
  rules: BufferRules,
  version = 0,
  working: Readonly<Record<string, number>> = {},
): Buffers {
  const phase = version >= versions ? 'done' : 'open'
  return { ...rules, versions, version, phase, working, buffered: {}, started: [] }
}

/** What an update that is τ versions old is scaled by, (1 + τ)^−exponent; its weight in the mean stays, so that FedBuff's step is Σ sₖ·xₖ / K. */
export const stalenessScale = (staleness: number, exponent: number): number => (1 + staleness) ** -exponent

/** Whether a client may begin from the present version. */
export const mayStart = ({ working, buffered, started }: Buffers, client: string): boolean =>
  !Object.hasOwn(working, client) && !Object.hasOwn(buffered, client) && !started.includes(client)

function close(state: Buffers, effects: readonly BuffersEffect[] = []): BuffersTransition {
  const { version, buffered } = state
  const finish = { type: 'finish', version, answered: Object.keys(buffered).sort() } as const
  return { state: { ...state, phase: 'closing' }, effects: [...effects, finish] }
}

const omit = (record: Readonly<Record<string, number>>, name: string) =>
  Object.fromEntries(Object.entries(record).filter(([key]) => key !== name))

const begunFrom = ({ working }: Buffers, client: string) =>
  Object.hasOwn(working, client) ? working[client] : undefined

function answer(state: Buffers, { version, client, digest }: BuffersEvent & { type: 'answer' }): BuffersTransition {
  if (begunFrom(state, client) !== version || state.phase !== 'open') {
    const again = Object.hasOwn(state.buffered, client) && state.buffered[client] === digest
    return {
      state,
      effects: [again ? { type: 'acknowledge', version, client } : { type: 'refuse', version, client, why: 'unasked' }],
    }
  }
  const working = omit(state.working, client)
  const staleness = state.version - version
  if (state.maxStaleness !== null && staleness > state.maxStaleness)
    return { state: { ...state, working }, effects: [{ type: 'refuse', version, client, why: 'stale' }] }
  const after = { ...state, working, buffered: { ...state.buffered, [client]: digest } }
  const add = { type: 'add', version, client, staleness } as const
  const full = Object.keys(after.buffered).length >= state.goal
  return full ? close(after, [add]) : { state: after, effects: [add] }
}

/** The state after an event, and what is to be done. An event that does not fit changes nothing and asks for nothing but a refusal. */
export function nextBuffer(state: Buffers, event: BuffersEvent): BuffersTransition {
  const unchanged: BuffersTransition = { state, effects: [] }
  switch (event.type) {
    case 'start': {
      const clients = [...new Set(event.clients)].filter((client) => mayStart(state, client))
      if (state.phase !== 'open' || clients.length === 0) return unchanged
      const begun = Object.fromEntries(clients.map((client) => [client, state.version]))
      const after = { ...state, working: { ...state.working, ...begun }, started: [...state.started, ...clients] }
      return { state: after, effects: [{ type: 'ask', version: state.version, clients }] }
    }
    case 'answer':
      return answer(state, event)
    case 'failure':
      if (begunFrom(state, event.client) !== event.version) return unchanged
      return { state: { ...state, working: omit(state.working, event.client) }, effects: [] }
    case 'exhausted': {
      const idle = state.phase === 'open' && Object.keys(state.working).length === 0
      return idle && event.version === state.version ? close(state) : unchanged
    }
    case 'cut':
      return state.phase === 'open' && event.version === state.version ? close(state) : unchanged
    case 'finished': {
      if (state.phase !== 'closing' || event.version !== state.version) return unchanged
      const version = state.version + 1
      const done = version >= state.versions
      const after: Buffers = { ...state, version, phase: done ? 'done' : 'open', buffered: {}, started: [] }
      return { state: after, effects: done ? [{ type: 'done' }] : [] }
    }
  }
}
