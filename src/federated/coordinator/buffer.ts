/**
 * A federation that goes on without rounds (FedBuff): so many clients are at work at any time, each from the version that it began with, and a full buffer of
 * answers becomes the next version. Who is asked next is drawn from the seed, the version, and how many have begun from it: the journal decides it.
 */
import type { Vectors } from '../algorithms/algorithm.js'
import { sendsDeltas } from '../download-options.js'
import type { RefusedAnswer } from '../events.js'
import { answerOf } from '../link/answers.js'
import { mayStart } from '../protocol/buffers.js'
import type { Answer } from '../protocol/messages.js'
import { sampleCohort } from '../protocol/plan.js'
import type { Aggregation, RoundFacts } from './aggregation.js'
import { type Buffering, scaleOf } from './buffering.js'
import type { Course } from './course.js'
import type { RecordOf } from './records.js'
import { neededClients } from './standing.js'
import { population, type State } from './state.js'
import { StepEnd } from './step-end.js'
import type { Tools } from './tools.js'

type Group = RecordOf<'start'>['work'][number]

export class BufferCourse implements Course {
  readonly #tools: Tools
  readonly #aggregation: Aggregation
  readonly #end: StepEnd
  /** Whether the sums hold what the journal says of the buffer. */
  #stands = false

  constructor(tools: Tools, aggregation: Aggregation) {
    this.#tools = tools
    this.#aggregation = aggregation
    this.#end = new StepEnd(tools, aggregation)
  }

  get #state(): State {
    return this.#tools.book.state
  }

  get #buffering(): Buffering {
    return this.#state.buffering!
  }

  /** Work that begins now: the version from 1. */
  get #round(): number {
    return this.#buffering.buffers.version + 1
  }

  async makeUp(): Promise<void> {
    const { buffers, accepted } = this.#buffering
    if (this.#stands || buffers.phase === 'done') return
    const { offers, blobs, waiters } = this.#tools
    await this.#aggregation.begin()
    offers.reset()
    // Also after a restart: what they were sent is what the next message is a difference to.
    for (const message of this.#ask(buffers.started)) await offers.put(message)
    for (const manifest of accepted.values()) await this.#add(await answerOf(manifest, blobs))
    this.#stands = true
    waiters.wake(buffers.started)
  }

  #ask(clients: readonly string[]): Set<Uint8Array> {
    return this.#aggregation.ask(this.#round, clients, (client) => this.#state.members.get(client)!.held)
  }

  async add(answer: Answer, vectors: Vectors): Promise<void> {
    try {
      await this.#add(answer, vectors)
    } catch (error) {
      this.#stands = false
      throw error
    }
  }

  async #add(answer: Answer, vectors?: Vectors): Promise<void> {
    await this.#aggregation.add(answer, vectors, scaleOf(this.#buffering, answer.round))
  }

  /** Who has not answered in time is given up, and asked again from a later version. */
  async expire(): Promise<void> {
    const { book, config, now } = this.#tools
    const at = now()
    const why = `no answer came within ${config.clients.deadline} seconds`
    const late = [...this.#buffering.work].filter(([, { deadline }]) => deadline !== null && deadline <= at)
    const records = late.map(([client, { round }]) => {
      return { type: 'failed', at, round, client, code: 'E_UNREACHABLE', why } as const
    })
    if (records.length > 0) await book.append(...records)
  }

  dueIn(): number | undefined {
    let first = Number.POSITIVE_INFINITY
    for (const { deadline } of this.#buffering.work.values()) first = Math.min(first, deadline ?? first)
    return first === Number.POSITIVE_INFINITY ? undefined : Math.max(0, first - this.#tools.now())
  }

  async advance(): Promise<boolean> {
    const { book, config, now } = this.#tools
    const { buffers, work } = this.#buffering
    if (buffers.phase === 'closing') {
      await this.#close()
      return true
    }
    const { paused, stopped } = this.#state
    const all = population(this.#state)
    if (buffers.phase === 'done' || paused || stopped !== undefined || all.length < neededClients(config)) return false
    const candidates = all.filter((client) => mayStart(buffers, client))
    const free = Math.min(this.#buffering.options.concurrency - work.size, candidates.length)
    if (free > 0) {
      const places = sampleCohort(candidates.length, free, config.federation.seed, this.#round, buffers.started.length)
      await this.#start(places.map((place) => candidates[place]!))
    } else if (work.size === 0) await book.append({ type: 'exhausted', at: now(), round: this.#round })
    else return false
    return true
  }

  /** Clients begin from the present version. */
  async #start(clients: readonly string[]): Promise<void> {
    const { book, config, now, uploads, waiters } = this.#tools
    try {
      this.#ask(clients)
      const work = await this.#offer(clients)
      const at = now()
      const seconds = config.clients.deadline
      const deadline = seconds === null ? null : at + 1000 * seconds
      await book.append({ type: 'start', at, round: this.#round, deadline, work })
    } catch (error) {
      this.#stands = false // the sums count messages that nobody was sent
      throw error
    }
    for (const client of clients) uploads.delete(client)
    waiters.wake(clients)
  }

  /** What each is offered; those who are offered the same stand together. */
  async #offer(clients: readonly string[]): Promise<Group[]> {
    const { config, offers } = this.#tools
    const { server } = this.#aggregation
    const deltas = sendsDeltas(config.federation.download)
    const round = this.#round
    const groups = new Map<string, Group>()
    for (const name of clients) {
      const { space } = this.#aggregation.kindOf(name)
      const { held } = this.#state.members.get(name)!
      const task = server.task(name, space, round, this.#aggregation.rateOf(name, round), held)
      const { client: _, ...offer } = await offers.of(task)
      const whole = deltas && { whole: await offers.refs(server.broadcast(space, round).vectors) }
      const key = JSON.stringify(offer)
      const group = groups.get(key) ?? { clients: [], offer, ...whole }
      group.clients.push(name)
      groups.set(key, group)
    }
    return [...groups.values()]
  }

  /** What the journal knows of the buffer that ends. */
  #facts(at: number): RoundFacts {
    const { accepted, fallen, population, cancelled, since, options } = this.#buffering
    const minimum = Math.min(this.#tools.config.clients.minimumAnswers, options.buffer)
    // Who has come too late may come again: it is no liar.
    const isRefused = ({ type, code }: (typeof fallen)[number]) => type === 'refused' && code !== 'E_STALE'
    const refused = fallen.filter(isRefused).map(({ client: name, code, why: message }) => {
      return { client: population.indexOf(name), name, code: code as RefusedAnswer['code'], message }
    })
    const few = accepted.size < minimum ? `${accepted.size} of ${minimum} answers came` : undefined
    return {
      round: this.#round,
      dropped: fallen.filter((one) => !isRefused(one)).map(({ client }) => client),
      refused: refused.sort((a, b) => a.client - b.client),
      abandon: cancelled ?? few,
      seconds: Math.max(0, at - since) / 1000,
    }
  }

  /** The buffer becomes the next version. */
  async #close(): Promise<void> {
    const { accepted } = this.#buffering
    const counted = [...accepted.keys()].sort()
    await this.#end.write(this.#round, counted, (at) => this.#facts(at))
    this.#stands = false
    this.#tools.offers.reset()
    this.#tools.waiters.wake(counted)
    await this.#end.collect()
  }
}
