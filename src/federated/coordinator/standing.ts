/** How a federation stands: its state, and what is known of its clients only while the server runs, as people are shown it. Pure. */
import type { RoundEvent } from '../events.js'
import type { BufferStanding, ClientStanding, ClientState, Problem, RoundStanding, Standing } from '../link/standing.js'
import type { Buffering } from './buffering.js'
import type { CoordinatorConfig } from './options.js'
import { deadlineNow, underWay } from './secure-state.js'
import { phaseWords } from './secure-words.js'
import { type Ended, isOver, isUnderWay, type Member, phaseOf, population, type State, waitedRound } from './state.js'

/** What a client was last heard of. */
export interface Life {
  /** Milliseconds since the epoch. */
  seen: number
  /** Its progress in a round. */
  work?: { round: number; step: number; steps: number }
}

export interface Known {
  lives: ReadonlyMap<string, Life>
  problems: readonly Problem[]
  /** Milliseconds since the epoch. */
  now: number
}

/** Milliseconds without a word after which a client that works is called silent: three signs of life. */
export const silence = 108_000
/** Rounds and problems that are shown. */
const mostShown = { rounds: 1000, problems: 100 }

/** Clients that must have joined before a round begins. */
export function neededClients({ clients, federation: { cohort, asynchronous } }: CoordinatorConfig): number {
  const absolute = asynchronous?.concurrency ?? (typeof cohort === 'object' ? cohort.clients : Math.max(cohort, 1))
  return Math.max(clients.minimum, absolute)
}

function roundOf({ report, asked, counted, refused, milliseconds, abandoned, measured }: Ended): RoundStanding {
  const { round, loss, bytesUp, bytesDown, privacy, clients = [] } = report as unknown as RoundEvent
  const epsilon = privacy?.epsilon
  const stalenesses = clients.flatMap(({ staleness }) => (staleness === undefined ? [] : [staleness]))
  return {
    round,
    loss,
    ...(measured && { heldOutLoss: measured.loss }),
    asked,
    counted: counted.size,
    refused,
    bytesUp,
    bytesDown,
    seconds: milliseconds / 1000,
    ...(abandoned !== undefined && { abandoned }),
    ...(typeof epsilon === 'number' && { epsilon }),
    ...(stalenesses.length > 0 && { stalenesses: stalenesses.sort((a, b) => a - b) }),
  }
}

/** Why a member will not answer, or may not, in the step under way or, without rounds, the last time that it was asked. */
const withoutOf = ({ current, buffering }: State, name: string) => (buffering?.falls ?? current?.without)?.get(name)

/** Whether a member's answer is in the step under way. */
const hasAnswered = ({ rounds, buffering }: State, name: string) =>
  buffering?.accepted.has(name) ?? Object.hasOwn(rounds.answered, name)

/** What a member is at. */
function doingOf(state: State, name: string, life: Life | undefined, now: number): ClientState {
  const phase = phaseOf(state)
  if (phase !== 'open' && phase !== 'closing') return 'idle'
  if (hasAnswered(state, name)) return 'answered'
  const round = waitedRound(state, name)
  if (round === undefined) {
    const { type } = withoutOf(state, name) ?? {}
    return type === undefined ? 'idle' : type === 'declined' ? 'declined' : 'failed'
  }
  if (life?.work?.round !== round) return 'asked'
  return now - life.seen > silence ? 'silent' : 'working'
}

function clientOf(state: State, name: string, member: Member, { lives, now }: Known): ClientStanding {
  const life = lives.get(name)
  const doing = member.revoked ? 'revoked' : doingOf(state, name, life, now)
  const why = withoutOf(state, name)?.why
  const progress = doing === 'working' ? life?.work : undefined
  return {
    name,
    state: doing,
    seen: life?.seen ?? null,
    ...(progress && { step: progress.step, steps: progress.steps }),
    ...(why !== undefined && { why }),
    counted: member.counted,
    bytesUp: member.bytesUp,
  }
}

/** Names whose token was not used yet, and who are nobody so far. */
function invited({ tokens, members }: State, now: number): ClientStanding[] {
  const names = [...tokens.values()].flatMap(({ client, key, expires }) =>
    key === undefined && expires > now && !members.has(client) ? [client] : [],
  )
  return [...new Set(names)].map((name) => ({ name, state: 'invited', seen: null, counted: 0, bytesUp: 0 }))
}

const plural = (count: number, one: string) => `${count} ${one}${count === 1 ? '' : 's'}`
const some = (names: readonly string[]) =>
  names.slice(0, 5).join(', ') + (names.length > 5 ? ` and ${names.length - 5} more` : '')

/** Of a buffer that is open; undefined: nothing has come, and nobody is at work. */
function bufferWords({ buffers, work, accepted, options }: Buffering): string | undefined {
  const step = `step ${buffers.version + 1} of ${buffers.versions}`
  if (buffers.phase === 'closing') return `${step}: adds up what has come`
  if (work.size === 0 && accepted.size === 0) return undefined
  const who = work.size === 0 ? 'nobody is at work' : `at work: ${some([...work.keys()].sort())}`
  return `${step}: ${accepted.size} of ${plural(options.buffer, 'answer')} in the buffer; ${who}`
}

function waitsFor(state: State, config: CoordinatorConfig): string {
  const { rounds, stopped, paused, buffering } = state
  if (isOver(state)) return stopped ?? ''
  const buffer = buffering && bufferWords(buffering)
  if (buffer !== undefined) return buffer
  const phase = phaseWords(state, some)
  if (phase !== undefined) return `round ${rounds.round}: ${phase}`
  const asked = Object.keys(rounds.answered).length + Object.keys(rounds.failed).length + rounds.waiting.length
  if (rounds.phase === 'open') {
    const answered = Object.keys(rounds.answered).length
    return `round ${rounds.round}: ${answered} of ${asked} have answered; waits for ${some(rounds.waiting)}`
  }
  const screened = state.current?.received.size ?? 0
  if (rounds.phase === 'closing' && screened > 0)
    return `round ${rounds.round}: ${plural(screened, 'answer')} ${screened === 1 ? 'is' : 'are'} with workers`
  if (rounds.phase === 'closing') return `round ${rounds.round}: adds up what has come`
  const joined = population(state).length
  const missing = neededClients(config) - joined
  if (missing > 0) return `${plural(missing, 'more client')}; ${joined} of ${neededClients(config)} have joined`
  if (paused) return 'the operator lets it go on'
  return `${buffering === undefined ? 'round' : 'step'} ${state.ended.length + 1}`
}

/** In one word. */
function stateOf(state: State): Standing['state'] {
  if (isOver(state)) return 'finished'
  if (state.paused) return 'paused'
  return isUnderWay(state) || phaseOf(state) === 'closing' ? 'running' : 'waiting'
}

function bufferOf({ options, work, accepted }: Buffering): BufferStanding {
  const { buffer: size, concurrency } = options
  return { answers: accepted.size, size, atWork: work.size, concurrency }
}

export function standingOf(state: State, config: CoordinatorConfig, known: Known): Standing {
  const { rounds, buffering, description, ended, members } = state
  const phase = underWay(state)?.phase
  const clients = [...members].map(([name, member]) => clientOf(state, name, member, known))
  const history = ended.map(roundOf)
  const sum = (of: (round: RoundStanding) => number) => history.reduce((total, round) => total + of(round), 0)
  const privacy = (ended.at(-1)?.report as unknown as RoundEvent | undefined)?.privacy
  return {
    name: description!.name,
    run: description!.run,
    state: stateOf(state),
    waitsFor: waitsFor(state, config),
    round: ended.length,
    rounds: rounds.rounds,
    deadline: deadlineNow(state),
    ...(phase !== undefined && phase !== 'done' && { phase }),
    ...(buffering && { buffer: bufferOf(buffering) }),
    clients: [...clients, ...invited(state, known.now)].sort((a, b) => (a.name < b.name ? -1 : 1)),
    history: history.slice(-mostShown.rounds),
    problems: known.problems.slice(-mostShown.problems),
    bytesUp: sum(({ bytesUp }) => bytesUp),
    bytesDown: sum(({ bytesDown }) => bytesDown),
    ...(privacy && {
      privacy: {
        epsilon: privacy.epsilon,
        delta: privacy.delta,
        ...(privacy.budget !== undefined && { budget: privacy.budget }),
      },
    }),
  }
}
