/**
 * One buffer of an asynchronous federation, as a simulation has it: clients begin and end in virtual time, one event after the other, until the
 * buffer is full and the server makes its step. A client really works when it begins; its answer waits in a file until it is due. So nothing
 * depends on real time, and memory does not grow with the clients at work.
 */
import { Stopwatch } from '../../run/stopwatch.js'
import { alone, Lockstep } from '../../training/stepper.js'
import type { Vectors } from '../algorithms/algorithm.js'
import type { ClientOutcome, ClientReport, RoundEvent } from '../events.js'
import {
  type Buffers,
  type BuffersEffect,
  type BuffersEvent,
  mayStart,
  nextBuffer,
  stalenessScale,
} from '../protocol/buffers.js'
import { isAbsent } from './absence.js'
import { type Done, waitingPart } from './answer-file.js'
import { broadcastTo, clientWork, reportOf } from './client-work.js'
import type { Clock } from './clock/clock.js'
import { closeRound } from './close-round.js'
import { runPool, takeTurns } from './pool.js'
import type { Slot } from './spaces.js'
import { Tally } from './tally.js'
import { TimeSheet } from './time-sheet.js'
import type { RoundTools } from './tools.js'
import type { Held, WaitingAnswers } from './waiting.js'

/** Tells two answers of one client apart; here each client gives one. */
const digest = 'simulated'

/** What an asynchronous federation has beside. */
interface AsynchronousTools extends RoundTools {
  clock: Clock
  waiting: WaitingAnswers
}

type OnClient = (report: ClientReport & { tokensPerSecond: number }) => void

class Filling {
  readonly #tools: AsynchronousTools
  readonly #signal: AbortSignal
  readonly #onClient: OnClient
  readonly #indexOf: ReadonlyMap<string, number>
  readonly #sheet: TimeSheet
  readonly watch = new Stopwatch(['train', 'encode', 'aggregate'])
  readonly tally: Tally
  readonly down = { bytes: 0, raw: 0 }
  readonly dropped: number[] = []
  state: Buffers

  constructor(tools: AsynchronousTools, state: Buffers, signal: AbortSignal, onClient: OnClient) {
    const { clients, clock } = tools
    this.#tools = tools
    this.#signal = signal
    this.#onClient = onClient
    this.#indexOf = new Map(Array.from({ length: clients.length }, (_, index) => [clients.name(index), index]))
    this.#sheet = new TimeSheet(clock, state.version + 1)
    this.tally = new Tally(tools)
    this.state = state
  }

  dispatch(event: BuffersEvent): readonly BuffersEffect[] {
    const { state, effects } = nextBuffer(this.state, event)
    this.state = state
    return effects
  }

  /** Runs until the buffer closes. Who ends at one time ends before anybody begins at it. */
  async fill(): Promise<void> {
    const { clock, waiting, cohorts, config } = this.#tools
    while (this.state.phase === 'open') {
      this.#signal.throwIfAborted()
      const due = waiting.first
      if (due !== undefined && due.finish <= clock.now) await this.#arrive(due)
      else {
        const free = config.asynchronous!.concurrency - Object.keys(this.state.working).length
        const { started, version } = this.state
        const beginning = cohorts.starters(version + 1, free, started.length, (name) => mayStart(this.state, name))
        if (beginning.length > 0) await this.#begin(beginning)
        else if (due === undefined) this.dispatch({ type: 'exhausted', version })
        else clock.now = due.finish
      }
    }
  }

  /** Clients begin from the present version: they work at once, for a time to come. */
  async #begin(indices: readonly number[]): Promise<void> {
    const { clients, config, slots, own, mostTokens } = this.#tools
    const { version } = this.state
    const round = version + 1
    this.dispatch({ type: 'start', clients: indices.map((index) => clients.name(index)) })
    for (const index of indices) {
      const { bytes, raw } = broadcastTo(this.#tools, index, round)
      this.down.bytes += bytes
      this.down.raw += raw
    }
    const isGone = (index: number) => isAbsent(config.seed, round, clients.name(index), config.absence)
    for (const index of indices.filter(isGone)) {
      this.#sheet.absent(clients.name(index), clients.place(index), broadcastTo(this.#tools, index, round).bytes)
      this.#fail(index, 'absent')
    }
    const present = indices.filter((index) => !isGone(index))
    const team = slots.length > 1 ? new Lockstep(slots.length, mostTokens) : undefined
    const inTurn = takeTurns()
    const side = { round, stepper: team ?? alone, inTurn, signal: this.#signal }
    await runPool(
      present,
      slots,
      (index, slot) => this.#work(index, slot, side),
      () => team?.leave(),
    )
    // What a client keeps is there when it begins again, whether or not its answer will count.
    await own?.endRound()
  }

  async #work(index: number, slot: Slot, side: Parameters<typeof clientWork>[3]): Promise<void> {
    const { clients, waiting, config } = this.#tools
    const { done, seconds } = await clientWork(this.#tools, index, slot, side)
    this.watch.add('train', seconds.train)
    this.watch.add('encode', seconds.encode)
    await side.inTurn(async () => {
      const due = this.#sheet.due(done.answer, broadcastTo(this.#tools, index, side.round).bytes)
      if (due.finish < Number.POSITIVE_INFINITY) return await waiting.put(due, waitingPart(done, config.upload.codec))
      this.#sheet.note(due, clients.place(index), 'unavailable')
      this.#fail(index, 'unavailable')
    })
    const rate = seconds.train > 0 ? done.answer.tokens / seconds.train : 0
    this.#onClient({ ...reportOf(this.#tools, done.answer, index), tokensPerSecond: rate })
  }

  #fail(index: number, code: string): void {
    this.dropped.push(index)
    this.dispatch({ type: 'failure', version: this.state.version, client: this.#tools.clients.name(index), code })
  }

  /** An answer is due: it goes into the buffer, is too old, or may not count. */
  async #arrive(held: Held): Promise<void> {
    const { clients, waiting } = this.#tools
    const index = this.#indexOf.get(held.client)!
    const done = await waiting.read(held)
    const vectors = this.tally.screen(index, done.answer)
    const of = { client: held.client, version: held.round - 1 }
    let outcome: ClientOutcome = 'refused'
    if (vectors === undefined) this.dispatch({ type: 'failure', ...of, code: 'refused' })
    else outcome = await this.#take(index, done, vectors, of)
    this.#sheet.note(held, clients.place(index), outcome)
    await waiting.drop(held)
  }

  async #take(index: number, done: Done, vectors: Vectors, of: { client: string; version: number }) {
    const add = this.dispatch({ type: 'answer', ...of, digest }).find((effect) => effect.type === 'add')
    if (add === undefined) {
      this.dropped.push(index)
      return 'stale'
    }
    const scale = stalenessScale(add.staleness, this.#tools.config.asynchronous!.exponent)
    await this.watch.time('aggregate', () => this.tally.add(index, done, vectors, scale))
    return 'counted'
  }

  close() {
    return this.#sheet.close(this.#tools.clock.now, null, () => true)
  }
}

/** Fills the buffer of `state` and makes the server's step; gives the state after it, and the indices of those whose work counted. */
export async function runBuffer(
  tools: AsynchronousTools,
  state: Buffers,
  signal: AbortSignal,
  onClient: OnClient,
): Promise<{ state: Buffers; event: RoundEvent; counted: number[] }> {
  const { server, fidelity } = tools
  await server.begin()
  fidelity.reset()
  const filling = new Filling(tools, state, signal, onClient)
  await filling.fill()
  const { watch, tally, down, dropped } = filling
  const done = await closeRound(tools, {
    round: state.version + 1,
    watch,
    tally,
    down,
    few: undefined,
    worked: [], // of an account, which buffers have none
    dropped,
    measures: false,
    time: async () => filling.close(),
  })
  filling.dispatch({ type: 'finished', version: state.version })
  return { state: filling.state, ...done }
}
