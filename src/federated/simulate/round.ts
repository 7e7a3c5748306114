/**
 * One round, as a simulation has it: the clients' answers and absences are fed to the reducer as events, and what it asks for is done here.
 *
 * Determinism: the cohort, every seed and everything that a client keeps are functions of (seed, round, client's name), and the server adds
 * exactly, so neither the order in which clients end nor how many work at a time changes a bit.
 */
import { createHash } from 'node:crypto'
import { native } from '../../native/load.js'
import { Stopwatch } from '../../run/stopwatch.js'
import { alone, Lockstep } from '../../training/stepper.js'
import type { Chosen } from '../algorithms/algorithm.js'
import type { OwnState } from '../client/own-state.js'
import { workOn } from '../client/work.js'
import type { ClientReport, RoundEvent } from '../events.js'
import type { FederationConfig } from '../options.js'
import type { Answer } from '../protocol/messages.js'
import { cohortOf } from '../protocol/plan.js'
import { next, type Rounds, type RoundsEffect, type RoundsEvent } from '../protocol/rounds.js'
import type { Server } from '../server/server.js'
import { isAbsent } from './absence.js'
import type { Clients } from './clients.js'
import type { ErrorMeter } from './error-meter.js'
import type { Fidelity } from './fidelity.js'
import { type Counted, figuresOf } from './figures.js'
import type { Locals } from './overrides.js'
import { runPool, takeTurns } from './pool.js'
import { rateOf } from './rate.js'
import type { Slot, Spaces } from './spaces.js'

/** What a federation holds on to between rounds; none of it grows with clients or rounds. */
export interface RoundTools {
  config: FederationConfig
  chosen: Chosen
  clients: Clients
  locals: Locals
  spaces: Spaces
  server: Server
  /** One for each client at work at the same time. */
  slots: readonly Slot[]
  /** Tokens of a pass that several clients share. */
  mostTokens: number
  fidelity: Fidelity
  errors: ErrorMeter
  /** Absent when clients keep nothing. */
  own: OwnState | undefined
}

/** Tells two answers of one client apart. */
function digestOf(answer: Answer): string {
  const hash = createHash('sha256').update(JSON.stringify({ ...answer, vectors: Object.keys(answer.vectors) }))
  for (const message of Object.values(answer.vectors)) hash.update(message)
  return hash.digest('hex')
}

const bytesOfNumbers = ({ numbers }: Answer) => 8 * Object.values(numbers).reduce((sum, list) => sum + list.length, 0)

/** An answer as it is reported. */
function reportOf({ rows, loss, steps, tokens, ...answer }: Answer, name: string, client: number): ClientReport {
  const messages = Object.values(answer.vectors).reduce((sum, message) => sum + message.length, 0)
  const bytesUp = messages + bytesOfNumbers(answer as Answer)
  return { client, name, rows, loss, steps, tokens, bytesUp }
}

/** Runs the round after `rounds`, which must be idle; gives the state after it, and the indices of those whose work counted. */
export async function runRound(
  tools: RoundTools,
  rounds: Rounds,
  signal: AbortSignal,
  onClient: (report: ClientReport & { tokensPerSecond: number }) => void,
): Promise<{ rounds: Rounds; event: RoundEvent; counted: number[] }> {
  const { config, chosen, clients, locals, spaces, slots, server, fidelity, errors, own } = tools
  const { seed, upload } = config
  const watch = new Stopwatch(['train', 'encode', 'aggregate'])
  let state = rounds
  const dispatch = (event: RoundsEvent): readonly RoundsEffect[] => {
    const transition = next(state, event)
    state = transition.state
    return transition.effects
  }
  const round = rounds.round + 1
  const learningRate = rateOf(config, round, config.local.learningRate)
  const cohort = cohortOf(clients.length, config.cohort, seed, round)
  const indexOf = new Map(cohort.map((index) => [clients.name(index), index]))
  await server.begin()
  errors.begin(server)
  fidelity.reset()
  dispatch({ type: 'begin', clients: [...indexOf.keys()] })
  const down = { bytes: 0, raw: 0 }
  for (const index of cohort) {
    const { bytes, raw } = server.broadcast(spaces.of(index), round)
    down.bytes += bytes
    down.raw += raw
  }

  const inTurn = takeTurns()
  const team = slots.length > 1 ? new Lockstep(slots.length, tools.mostTokens) : undefined
  const counted = new Map<number, Counted>()
  const take = async (index: number, answer: Answer, raw: number, trained: Float32Array): Promise<void> => {
    const effects = dispatch({ type: 'answer', round, client: answer.client, digest: digestOf(answer) })
    if (!effects.some(({ type }) => type === 'add')) return
    await server.accept(answer, spaces.of(index), trained)
    counted.set(index, { ...reportOf(answer, answer.client, clients.place(index)), bytesUpRaw: raw })
  }
  const work = async (index: number, slot: Slot): Promise<void> => {
    const client = clients.name(index)
    const space = spaces.of(index)
    const local = locals.of(index)
    const task = server.task(client, space, round, rateOf(config, round, local.learningRate))
    const { answer, vectors, trained, seconds } = await workOn(task, {
      chosen,
      space,
      initial: server.initialFor(space),
      data: clients.data(index),
      adapter: slot.in(space),
      stepper: team ?? alone,
      local,
      upload,
      own,
      signal,
      inTurn,
    })
    watch.add('train', seconds.train)
    watch.add('encode', seconds.encode)
    const raw = Object.values(vectors).reduce((sum, vector) => sum + vector.byteLength, bytesOfNumbers(answer))
    await inTurn(async () => {
      await watch.time('aggregate', async () => {
        await take(index, answer, raw, trained)
        if (answer.loss !== null) fidelity.add(vectors, server.weightInSums(answer))
      })
    })
    const rate = seconds.train > 0 ? answer.tokens / seconds.train : 0
    onClient({ ...reportOf(answer, client, clients.place(index)), tokensPerSecond: rate })
  }
  const absent = cohort.filter((index) => isAbsent(seed, round, clients.name(index), config.absence))
  const present = cohort.filter((index) => !absent.includes(index))
  await runPool(present, slots, work, () => team?.leave())
  for (const index of absent) dispatch({ type: 'failure', round, client: clients.name(index), code: 'absent' })

  const { answers, measurements, means } = await watch.time('aggregate', () => server.finish(round, learningRate))
  await own?.endRound()
  const cosine = answers.length === 0 ? null : await watch.time('aggregate', () => fidelity.cosine(means))
  const aggregationError = await watch.time('aggregate', () => errors.measure(server, answers))
  dispatch({ type: 'finished', round })
  const inNameOrder = present.map((index) => counted.get(index)!)
  const figures = figuresOf(inNameOrder, down, means)
  const seconds = { ...watch.seconds, total: watch.total }
  const event: RoundEvent = {
    type: 'round',
    round,
    rounds: config.rounds,
    learningRate,
    clients: inNameOrder.map(({ bytesUpRaw: _, ...report }) => report).sort((a, b) => a.client - b.client),
    dropped: absent.map((index) => clients.place(index)).sort((a, b) => a - b),
    ...figures,
    cosine,
    aggregationError,
    measurements,
    seconds,
    tokensPerSecond: seconds.train > 0 ? figures.tokens / seconds.train : 0,
    peakBytes: native().processMemory().peakBytes,
  }
  const learners = [...counted].filter(([, { loss }]) => loss !== null).map(([index]) => index)
  return { rounds: state, event, counted: learners }
}
