/**
 * One round, as a simulation has it: the clients' answers and absences are fed to the reducer as events, and what it asks for is done here.
 *
 * Determinism: the cohort, every seed and everything that a client keeps are functions of (seed, round, client's name), and the server adds
 * exactly, so neither the order in which clients end nor how many work at a time changes a bit.
 */
import { FedloraError, isFedloraError } from '../../errors.js'
import { native } from '../../native/load.js'
import { Stopwatch } from '../../run/stopwatch.js'
import { alone, Lockstep } from '../../training/stepper.js'
import type { Chosen, Vectors } from '../algorithms/algorithm.js'
import type { OwnState } from '../client/own-state.js'
import { receivedName } from '../client/personal.js'
import { type Outgoing, workOn } from '../client/work.js'
import type { ClientReport, RefusedAnswer, RoundEvent } from '../events.js'
import type { FederationConfig } from '../options.js'
import type { Answer } from '../protocol/messages.js'
import { cohortOf } from '../protocol/plan.js'
import { next, type Rounds, type RoundsEffect, type RoundsEvent } from '../protocol/rounds.js'
import { sizeOf } from '../protocol/secagg/messages.js'
import type { Server } from '../server/server.js'
import { isAbsent, lostAt } from './absence.js'
import type { Attackers } from './attackers/open.js'
import type { Clients } from './clients.js'
import type { ErrorMeter } from './error-meter.js'
import type { Fidelity } from './fidelity.js'
import { type Counted, figuresOf } from './figures.js'
import { type MaskedClients, phases } from './masked-clients.js'
import type { Locals } from './overrides.js'
import { runPool, takeTurns } from './pool.js'
import type { Budget } from './privacy.js'
import { rateOf } from './rate.js'
import type { Slot, Spaces } from './spaces.js'

/** What a federation holds on to between rounds; none of it grows with clients or rounds. */
export interface RoundTools {
  config: FederationConfig
  chosen: Chosen
  clients: Clients
  attackers: Attackers
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
  /** Those of a secure aggregation; absent where updates travel openly. */
  masked: MaskedClients | undefined
  /** What is done to the updates of all clients on their way out. */
  outgoing: readonly Outgoing[]
  /** Of a federation with differential privacy. */
  budget: Budget | undefined
}

/** Tells two answers of one client apart; here each client gives one. */
const digest = 'simulated'

const bytesOfNumbers = ({ numbers }: Answer) => 8 * Object.values(numbers).reduce((sum, list) => sum + list.length, 0)

/** An answer as it is reported. */
function reportOf(answer: Answer, index: number, { clients, attackers }: RoundTools): ClientReport {
  const { client: name, rows, loss, steps, tokens } = answer
  const open = Object.values(answer.vectors).reduce((sum, message) => sum + message.length, 0)
  const messages = answer.masked === undefined ? open : sizeOf(answer.masked.message)
  const bytesUp = messages + bytesOfNumbers(answer)
  const attacker = attackers.of(index)
  const lies = attacker && { attack: attacker.attack }
  return { client: clients.place(index), name, rows, loss, steps, tokens, bytesUp, ...lies }
}

/** What `check` gives; undefined after `refuse` was told of its refusal. */
function passed<T>(check: () => T, refuse: (why: FedloraError) => void): T | undefined {
  try {
    return check()
  } catch (error) {
    if (!isFedloraError(error)) throw error
    refuse(error)
    return undefined
  }
}

/** Runs the round after `rounds`, which must be idle; gives the state after it, and the indices of those whose work counted. */
export async function runRound(
  tools: RoundTools,
  rounds: Rounds,
  signal: AbortSignal,
  onClient: (report: ClientReport & { tokensPerSecond: number }) => void,
): Promise<{ rounds: Rounds; event: RoundEvent; counted: number[] }> {
  const {
    config,
    chosen,
    clients,
    attackers,
    locals,
    spaces,
    slots,
    server,
    fidelity,
    errors,
    own,
    outgoing,
    budget,
    masked,
  } = tools
  const { seed, upload, download } = config
  const watch = new Stopwatch(['train', 'encode', 'aggregate'])
  let state = rounds
  const asked: RoundsEffect[] = []
  const dispatch = (event: RoundsEvent): readonly RoundsEffect[] => {
    const { state: after, effects } = next(state, event)
    state = after
    asked.push(...effects)
    return effects
  }
  /** The effect of this type that the reducer has asked for. */
  const effectOf = <T extends RoundsEffect['type']>(type: T) => {
    const found = asked.find((effect): effect is Extract<RoundsEffect, { type: T }> => effect.type === type)
    if (found === undefined)
      throw new FedloraError('E_INTERNAL', `round ${round}: no '${type}' in phase ${state.phase}`)
    return found
  }
  const round = rounds.round + 1
  const learningRate = rateOf(config, round, config.local.learningRate)
  const cohort = budget?.plan.cohort(round) ?? cohortOf(clients.length, config.cohort, seed, round)
  const indexOf = new Map(cohort.map((index) => [clients.name(index), index]))
  await server.begin()
  errors.begin(server)
  fidelity.reset()
  dispatch({ type: 'begin', clients: [...indexOf.keys()] })
  // What a client that never received anything can make itself: the adapter that the federation began with.
  const versionOf = (client: string) => own?.roundOf(client, receivedName) ?? 0
  const invited = effectOf('ask').clients
  const present = masked
    ? masked.begin(round, invited, (client) => lostAt(seed, round, client, config.absence, phases))
    : invited.filter((client) => !isAbsent(seed, round, client, config.absence))
  const down = { bytes: 0, raw: 0 }
  for (const index of cohort) {
    const { bytes, raw } = server.broadcast(spaces.of(index), round, versionOf(clients.name(index)))
    down.bytes += bytes
    down.raw += raw
  }

  const inTurn = takeTurns()
  const team = slots.length > 1 ? new Lockstep(slots.length, tools.mostTokens) : undefined
  const counted = new Map<string, Counted>()
  const refused: RefusedAnswer[] = []
  const take = async (
    index: number,
    answer: Answer,
    raw: number,
    trained: Float32Array,
    sent: Vectors,
  ): Promise<void> => {
    const { client } = answer
    const space = spaces.of(index)
    const vectors = passed(
      () => server.screen(answer, space),
      ({ code, message }) => {
        refused.push({ client: clients.place(index), name: client, code, message })
        dispatch({ type: 'failure', round, client, code })
      },
    )
    if (vectors === undefined) return
    for (const { type } of dispatch({ type: 'answer', round, client, digest })) {
      if (type !== 'add') continue
      await server.accept(answer, space, trained, vectors)
      if (answer.loss !== null && config.robust === undefined) fidelity.add(client, sent, server.weightInSums(answer))
      counted.set(answer.client, { ...reportOf(answer, index, tools), bytesUpRaw: raw })
    }
  }
  const work = async (client: string, slot: Slot): Promise<void> => {
    const index = indexOf.get(client)!
    const space = spaces.of(index)
    const local = locals.of(index)
    const task = server.task(client, space, round, rateOf(config, round, local.learningRate), versionOf(client))
    const attacker = attackers.of(index)
    const worked = await workOn(task, {
      chosen,
      space,
      initial: server.initialFor(space),
      data: clients.data(index),
      adapter: slot.in(space),
      stepper: team ?? alone,
      local,
      upload,
      download,
      mask: masked && ((answer, vectors) => masked.mask(client, vectors, server.weightOf(answer))),
      outgoing: attacker === undefined ? outgoing : [...outgoing, ...attacker.outgoing],
      own,
      signal,
      inTurn,
    })
    const { vectors, trained, seconds } = worked
    const answer = attacker?.forged(worked.answer) ?? worked.answer
    watch.add('train', seconds.train)
    watch.add('encode', seconds.encode)
    const raw = Object.values(vectors).reduce((sum, vector) => sum + vector.byteLength, bytesOfNumbers(answer))
    await inTurn(async () => {
      await watch.time('aggregate', async () => {
        await take(index, answer, raw, trained, vectors)
      })
    })
    const rate = seconds.train > 0 ? answer.tokens / seconds.train : 0
    onClient({ ...reportOf(answer, index, tools), tokensPerSecond: rate })
  }
  for (const client of indexOf.keys())
    if (!present.includes(client)) dispatch({ type: 'failure', round, client, code: 'absent' })
  await runPool(present, slots, work, () => team?.leave())

  const { answered, missing } = effectOf('finish')
  const clip = server.clip
  await budget?.spend(round)
  const { answers, measurements, means, selected, abandoned } = await watch.time('aggregate', () => {
    masked?.end()
    return server.finish(round, learningRate, server.masked?.abandoned)
  })
  await (abandoned === undefined ? own?.endRound() : own?.dropRound())
  const averaged = answers.length > 0 && config.robust === undefined
  const cosine = !averaged ? null : await watch.time('aggregate', () => fidelity.cosine(means))
  const aggregationError =
    upload.segments > 1 || masked !== undefined
      ? null
      : await watch.time('aggregate', () => errors.measure(server, answers))
  dispatch({ type: 'finished', round })
  const placesOf = (names: readonly string[]) =>
    names.map((client) => clients.place(indexOf.get(client)!)).sort((a, b) => a - b)
  const inNameOrder = answered.map((client) => counted.get(client)!)
  const protocol = masked?.report
  down.bytes += protocol?.bytesDown ?? 0
  const figures = figuresOf(inNameOrder, down, means, protocol?.bytesUp)
  const seconds = { ...watch.seconds, total: watch.total }
  const event: RoundEvent = {
    type: 'round',
    round,
    rounds: config.rounds,
    learningRate,
    clients: inNameOrder.map(({ bytesUpRaw: _, ...report }) => report).sort((a, b) => a.client - b.client),
    dropped: placesOf(missing.filter((client) => !refused.some(({ name }) => name === client))),
    ...(refused.length > 0 && { refused: refused.sort((a, b) => a.client - b.client) }),
    ...figures,
    cosine,
    aggregationError,
    measurements,
    ...(selected !== undefined && { selected: placesOf(selected) }),
    ...(budget !== undefined && { privacy: budget.report(clip!) }),
    ...(protocol !== undefined && { secureAggregation: protocol }),
    ...(abandoned !== undefined && { abandoned }),
    seconds,
    tokensPerSecond: seconds.train > 0 ? figures.tokens / seconds.train : 0,
    peakBytes: native().processMemory().peakBytes,
  }
  const learners = abandoned === undefined ? inNameOrder.filter(({ loss }) => loss !== null) : []
  return { rounds: state, event, counted: learners.map(({ name }) => indexOf.get(name)!) }
}
