/** Conducts the rounds: begins one when it may, ends it when it must, and keeps what it came to. What fails is tried again. */
import { isFedloraError } from '../../errors.js'
import type { Vectors } from '../algorithms/algorithm.js'
import type { BlobId } from '../blobs/blob-store.js'
import type { RefusedAnswer } from '../events.js'
import type { Answer } from '../protocol/messages.js'
import { cohortSize, sampleCohort } from '../protocol/plan.js'
import type { Aggregation, Outcome, RoundFacts } from './aggregation.js'
import { answerOf } from './answers.js'
import { Evaluations } from './evaluations.js'
import type { RecordOf } from './records.js'
import { saveAdapter } from './setup.js'
import { neededClients } from './standing.js'
import { isOver, population, populationSize, type State } from './state.js'
import type { Tools } from './tools.js'

/** Milliseconds before work that failed on the server is tried again. */
const retryAfter = 5000

export class Conductor {
  readonly #tools: Tools
  readonly #aggregation: Aggregation
  readonly #evaluations: Evaluations
  readonly #onOver: () => void
  #stopTimer = () => {}
  #over = false
  /** Whether the sums hold what the journal says of the round under way. */
  #stands = false
  /** What a round has come to whose end is not in the journal yet: a step is made once, however often its record is tried. */
  #outcome: { round: number; outcome: Outcome } | undefined

  /** @param onOver - told once, when the federation is over and its adapter is written. */
  constructor(tools: Tools, aggregation: Aggregation, onOver: () => void) {
    this.#tools = tools
    this.#aggregation = aggregation
    this.#onOver = onOver
    this.#evaluations = new Evaluations(tools, aggregation.server, (error) => {
      if (error === undefined) void this.settle()
      else if (!tools.book.ended) this.#later(error)
    })
  }

  get #state(): State {
    return this.#tools.book.state
  }

  /** The sums of the round under way, where they do not stand: begun anew, with all that counts already. */
  async makeUp(): Promise<void> {
    const { rounds, current } = this.#state
    if (this.#stands || current === undefined || (rounds.phase !== 'open' && rounds.phase !== 'closing')) return
    await this.#beginSums(current.begun)
    for (const manifest of current.accepted.values()) {
      await this.#aggregation.add(await answerOf(manifest, this.#tools.blobs))
    }
    this.#stands = true
    this.#tools.waiters.wake(current.begun.clients)
  }

  /** Adds an answer that counts. Where that fails it counts all the same: it is added again before the round ends. */
  async add(answer: Answer, vectors: Vectors): Promise<void> {
    try {
      await this.#aggregation.add(answer, vectors)
    } catch (error) {
      this.#stands = false
      this.#later(error)
    }
  }

  /** What has failed is told, and tried again. */
  #later(error: unknown): void {
    const { code, message } = isFedloraError(error) ? error : { code: 'E_INTERNAL', message: String(error) }
    this.#tools.tell({ type: 'trouble', code, message })
    this.#wakeIn(retryAfter)
  }

  /** Does what is due. */
  async settle(): Promise<void> {
    const { book, asleep } = this.#tools
    this.#stopTimer()
    if (asleep) return
    try {
      await book.exclusive(() => this.#settle())
      const left = this.deadlineIn()
      if (left !== undefined) this.#wakeIn(left)
    } catch (error) {
      if (!book.ended) this.#later(error)
    }
  }

  async #settle(): Promise<void> {
    const { book, now } = this.#tools
    if (this.deadlineIn() === 0) await book.append({ type: 'deadline', at: now(), round: this.#state.rounds.round })
    for (;;) {
      await this.makeUp()
      this.#evaluations.begin()
      if (this.#state.rounds.phase === 'closing') {
        if (this.#evaluations.pending) break
        await this.#close()
      } else if (this.#mayBegin()) await this.#beginWithinBudget()
      else break
    }
    if (isOver(this.#state) && !this.#over && !this.#evaluations.pending) await this.#end()
  }

  #wakeIn(milliseconds: number): void {
    this.#stopTimer()
    this.#stopTimer = this.#tools.after(milliseconds, () => void this.settle())
  }

  /** No timer runs any more, and nothing is measured. */
  async stop(): Promise<void> {
    this.#stopTimer()
    await this.#evaluations.close()
  }

  /** Milliseconds until the round under way closes; undefined: no round is open, or it waits for ever. */
  deadlineIn(): number | undefined {
    const { rounds, current } = this.#state
    const deadline = rounds.phase === 'open' ? current!.begun.deadline : null
    return deadline === null ? undefined : Math.max(0, deadline - this.#tools.now())
  }

  /** Clients that must have joined before a round begins. */
  get needed(): number {
    return neededClients(this.#tools.config)
  }

  #mayBegin(): boolean {
    const { rounds, paused, stopped } = this.#state
    return rounds.phase === 'idle' && !paused && stopped === undefined && populationSize(this.#state) >= this.needed
  }

  /** A round more than the budget has room for is not begun: the federation is over. */
  async #beginWithinBudget(): Promise<void> {
    const { book, now, privacy, tell } = this.#tools
    const { round } = this.#state.rounds
    if (privacy === undefined || privacy.budget.allows(round + 1)) return await this.#begin()
    const { epsilon, budget } = privacy.budget
    const why = `the privacy budget is spent: epsilon ${epsilon.toPrecision(4)} of ${budget}`
    await book.append({ type: 'stop', at: now(), who: 'budget', why })
    tell({ type: 'budget', round, epsilon, budget })
  }

  /** Who is asked in a round, and answers after which it closes; null: all. */
  #cohort(round: number): { clients: string[]; goal: number | null; minimum: number } {
    const { config, privacy } = this.#tools
    const { federation, clients: rules } = config
    const all = population(this.#state)
    const named = (indices: readonly number[]) => indices.map((index) => all[index]!)
    // Noise without a client is noise: a round without an answer is one like any other.
    if (privacy !== undefined) return { clients: named(privacy.plan.cohort(round, all.length)), goal: null, minimum: 0 }
    const goal = cohortSize(federation.cohort, all.length)
    // A product a rounding above a whole number is that number.
    const asked = Math.min(all.length, Math.ceil(goal * rules.over - 1e-9))
    const clients = named(sampleCohort(all.length, asked, federation.seed, round))
    return { clients, goal: asked > goal ? goal : null, minimum: Math.min(rules.minimumAnswers, goal) }
  }

  async #begin(): Promise<void> {
    const { book, config, now } = this.#tools
    const round = this.#state.rounds.round + 1
    const cohort = this.#cohort(round)
    const at = now()
    const seconds = config.clients.deadline
    const deadline = seconds === null ? null : at + 1000 * seconds
    await book.append({ type: 'begin', at, round, ...cohort, deadline })
    this.#stands = false
    await this.makeUp()
  }

  async #beginSums({ round, clients }: RecordOf<'begin'>): Promise<void> {
    const { offers, uploads } = this.#tools
    offers.reset()
    uploads.clear()
    const messages = await this.#aggregation.begin(round, clients, (client) => this.#state.members.get(client)!.held)
    // Also after a restart: who was told of them before goes on with its download.
    for (const message of messages) await offers.put(message)
  }

  /** What the journal knows of the round that ends. */
  #facts(at: number) {
    const { rounds, current } = this.#state
    const { round, minimum, answered, failed } = rounds
    const { begun, without, cancelled, population } = current!
    const got = Object.keys(answered).length
    const refused: RefusedAnswer[] = []
    for (const [name, { type, code, why }] of without) {
      if (type !== 'refused') continue
      refused.push({ client: population.indexOf(name), name, code: code as RefusedAnswer['code'], message: why })
    }
    return {
      round,
      dropped: begun.clients.filter((name) => !Object.hasOwn(answered, name) && failed[name] !== 'refused'),
      refused: refused.sort((a, b) => a.client - b.client),
      abandon: cancelled ?? (got < minimum ? `${got} of ${minimum} answers came in time` : undefined),
      seconds: Math.max(0, at - begun.at) / 1000,
    }
  }

  /** The sums of the round become the next state, or nothing. */
  async #close(): Promise<void> {
    const { book, blobs, log, now, offers, privacy, uploads, waiters } = this.#tools
    const at = now()
    const { round, answered } = this.#state.rounds
    const { clients } = this.#state.current!.begun
    if (this.#outcome?.round !== round) {
      const facts = this.#facts(at)
      // Before anything is made of it; a round that makes no step shows nothing.
      if (facts.abandon === undefined) await privacy?.budget.spend(round)
      this.#outcome = { round, outcome: await this.#finish(facts) }
    }
    const { abandoned, event } = this.#outcome.outcome
    const checkpoint = await this.#aggregation.checkpoint(blobs)
    const report = JSON.parse(JSON.stringify(event)) as RecordOf<'commit'>['report']
    const end = { at, round, checkpoint, report, log: (await log?.position()) ?? 0 }
    if (abandoned !== undefined) await book.append({ type: 'abandon', why: abandoned, ...end })
    else await book.append({ type: 'commit', counted: Object.keys(answered).sort(), ...end })
    offers.reset()
    uploads.clear()
    waiters.wake(clients)
    await this.#collect()
  }

  /** A step that fails midway leaves a state of no round: only a server that is opened anew has the right one. */
  async #finish(facts: RoundFacts): Promise<Outcome> {
    try {
      return await this.#aggregation.finish(facts)
    } catch (error) {
      this.#tools.book.fail(error)
      throw error
    }
  }

  /** The federation is over: the adapter is written, and everybody is told. */
  async #end(): Promise<void> {
    const { folder, setup, tell, waiters } = this.#tools
    if (folder !== undefined) await saveAdapter(folder, setup, this.#aggregation.server)
    this.#over = true
    tell({ type: 'done', rounds: this.#state.ended.length })
    this.#onOver()
    waiters.wake()
  }

  /** Removes the blobs that nothing names. */
  async #collect(): Promise<void> {
    const { blobs, offers, uploads } = this.#tools
    const { description, checkpoint, current } = this.#state
    const named = new Set<BlobId>([description!.initial.blob, ...[...uploads.values()].flatMap((blobs) => [...blobs])])
    for (const { blob } of Object.values(checkpoint?.vectors ?? {})) named.add(blob)
    for (const { blob } of current?.accepted.values() ?? []) if (blob !== null) named.add(blob.blob)
    await blobs.collect((id) => named.has(id) || offers.isLive(id))
  }
}
