/**
 * One round, as a simulation has it: the clients' answers and absences are fed to the reducer as events, and what it asks for is done here.
 *
 * Determinism: the cohort, every seed and everything that a client keeps are functions of (seed, round, client's name), and the server adds
 * exactly, so neither the order in which clients end nor how many work at a time changes a bit.
 */
import { FedloraError } from '../../errors.js'
import { Stopwatch } from '../../run/stopwatch.js'
import { alone, Lockstep } from '../../training/stepper.js'
import type { ClientReport, RoundEvent } from '../events.js'
import { next, type Rounds, type RoundsEffect, type RoundsEvent } from '../protocol/rounds.js'
import { isAbsent, lostAt } from './absence.js'
import type { Done } from './answer-file.js'
import { broadcastTo, clientWork, reportOf } from './client-work.js'
import { closeRound } from './close-round.js'
import { phases } from './masked-clients.js'
import { runPool, takeTurns } from './pool.js'
import type { Slot } from './spaces.js'
import { Tally } from './tally.js'
import { TimedRound } from './timed-round.js'
import type { RoundTools } from './tools.js'

/** Tells two answers of one client apart; here each client gives one. */
const digest = 'simulated'

/** Runs the round after `rounds`, which must be idle; gives the state after it, and the indices of those whose work counted. */
export async function runRound(
  tools: RoundTools,
  rounds: Rounds,
  signal: AbortSignal,
  onClient: (report: ClientReport & { tokensPerSecond: number }) => void,
): Promise<{ rounds: Rounds; event: RoundEvent; counted: number[] }> {
  const { config, clients, slots, server, fidelity, errors, masked, budget } = tools
  const watch = new Stopwatch(['train', 'encode', 'aggregate'])
  let state = rounds
  const asked: RoundsEffect[] = []
  const dispatch = (event: RoundsEvent): readonly RoundsEffect[] => {
    const { state: after, effects } = next(state, event)
    state = after
    asked.push(...effects)
    return effects
  }
  /** The effect of one of these types that the reducer has asked for. */
  const effectOf = <T extends RoundsEffect['type']>(...types: T[]) => {
    const found = asked.find((effect): effect is Extract<RoundsEffect, { type: T }> => types.includes(effect.type as T))
    if (found === undefined)
      throw new FedloraError('E_INTERNAL', `round ${round}: no '${types}' in phase ${state.phase}`)
    return found
  }
  const round = rounds.round + 1
  const timed = TimedRound.begin(tools, round)
  const drawn = budget?.cohort?.(round)
  const { members, goal } =
    drawn === undefined ? tools.cohorts.of(round, timed?.busy) : { members: drawn, goal: undefined }
  const indexOf = new Map(members.map((index) => [clients.name(index), index]))
  await server.begin()
  errors.begin(server)
  fidelity.reset()
  dispatch({ type: 'begin', clients: [...indexOf.keys()], goal, ...timed?.rules })
  await timed?.forget(state.owing)
  const { seed, absence } = config
  const invited = effectOf('ask').clients
  const present = masked
    ? masked.begin(round, invited, (client) => lostAt(seed, round, client, absence, phases))
    : invited.filter((client) => !isAbsent(seed, round, client, absence))
  const down = { bytes: 0, raw: 0 }
  for (const index of members) {
    const { bytes, raw } = broadcastTo(tools, index, round)
    down.bytes += bytes
    down.raw += raw
  }

  const inTurn = takeTurns()
  const team = slots.length > 1 ? new Lockstep(slots.length, tools.mostTokens) : undefined
  const tally = new Tally(tools)
  /** Whether it counts. */
  const take = async (index: number, done: Done, scale = 1): Promise<boolean> => {
    const { client, round: of } = done.answer
    const vectors = tally.screen(index, done.answer)
    if (vectors === undefined) {
      // What it left out of a message that came to nothing was not left out: as between machines, the round never was.
      if (of === round) await tools.own?.forget(client)
      dispatch({ type: 'failure', round: of, client, code: 'refused' })
    } else {
      for (const { type } of dispatch({ type: 'answer', round: of, client, digest })) {
        if (type === 'add') await tally.add(index, done, vectors, scale)
      }
    }
    return vectors !== undefined
  }
  const fail = (client: string, code: string) => dispatch({ type: 'failure', round, client, code })
  const work = async (client: string, slot: Slot): Promise<void> => {
    const index = indexOf.get(client)!
    const { done, seconds } = await clientWork(tools, index, slot, { round, stepper: team ?? alone, inTurn, signal })
    watch.add('train', seconds.train)
    watch.add('encode', seconds.encode)
    await inTurn(() =>
      watch.time('aggregate', async () => {
        if (timed === undefined) await take(index, done)
        else await timed.worked(index, done, take, fail)
      }),
    )
    const rate = seconds.train > 0 ? done.answer.tokens / seconds.train : 0
    onClient({ ...reportOf(tools, done.answer, index), tokensPerSecond: rate })
  }
  for (const [client, index] of indexOf) {
    if (present.includes(client)) continue
    fail(client, 'absent')
    timed?.absent(index)
  }
  await runPool(present, slots, work, () => team?.leave())
  await timed?.settle(
    () => state.phase === 'open',
    (index, done, scale) => watch.time('aggregate', () => take(index, done, scale)),
    () => dispatch({ type: 'deadline', round }),
  )

  const { missing, type, answered } = effectOf('finish', 'abandon')
  const few = type === 'abandon' ? `${answered.length} of ${state.minimum} answers came in time` : undefined
  const done = await closeRound(tools, {
    round,
    watch,
    tally,
    down,
    few,
    worked: present.map((client) => indexOf.get(client)!),
    dropped: missing.map((client) => indexOf.get(client)!),
    measures: !tally.belated(round) && config.upload.segments === 1 && masked === undefined,
    time: (abandoned) => timed?.close(abandoned),
  })
  dispatch({ type: 'finished', round })
  return { rounds: state, ...done }
}
