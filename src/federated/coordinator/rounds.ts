/** A federation that goes on by rounds: begins one when it may, and ends it when it must. */
import type { Vectors } from '../algorithms/algorithm.js'
import type { RefusedAnswer } from '../events.js'
import { answerOf } from '../link/answers.js'
import type { Answer } from '../protocol/messages.js'
import { cohortSize, sampleCohort } from '../protocol/plan.js'
import type { Done } from '../workers/assignment.js'
import type { Aggregation, RoundFacts } from './aggregation.js'
import type { Course } from './course.js'
import { Folding } from './folding.js'
import type { RecordOf } from './records.js'
import type { SecureRounds } from './secure.js'
import { deadlineNow, isWorkDeadline } from './secure-state.js'
import { neededClients } from './standing.js'
import { phaseOf, population, populationSize, type State } from './state.js'
import { StepEnd } from './step-end.js'
import type { Tools } from './tools.js'

export class RoundCourse implements Course {
  readonly #tools: Tools
  readonly #aggregation: Aggregation
  readonly #secure: SecureRounds
  readonly #folding: Folding
  readonly #end: StepEnd
  /** Whether the sums hold what the journal says of the round under way. */
  #stands = false

  constructor(tools: Tools, aggregation: Aggregation, secure: SecureRounds) {
    this.#tools = tools
    this.#aggregation = aggregation
    this.#secure = secure
    this.#folding = new Folding(tools, aggregation)
    this.#end = new StepEnd(tools, aggregation)
  }

  get #state(): State {
    return this.#tools.book.state
  }

  async makeUp(): Promise<void> {
    const { rounds, current } = this.#state
    if (this.#stands || current === undefined || (rounds.phase !== 'open' && rounds.phase !== 'closing')) return
    await this.#beginSums(current.begun)
    this.#secure.beginAgain()
    this.#folding.beginAgain()
    const folded = new Set(current.folds.flatMap(({ clients }) => clients))
    for (const [client, manifest] of current.accepted) {
      if (!folded.has(client)) await this.#aggregation.add(await answerOf(manifest, this.#tools.blobs))
    }
    await this.#folding.endAgain()
    this.#secure.endAgain()
    this.#stands = true
    this.#tools.waiters.wake(current.begun.clients)
  }

  async add(answer: Answer, vectors: Vectors): Promise<void> {
    await this.#whole(() => this.#aggregation.add(answer, vectors))
  }

  async expire(): Promise<void> {
    const { book, now } = this.#tools
    const deadline = deadlineNow(this.#state)
    if (deadline !== null && deadline <= now() && isWorkDeadline(this.#state))
      await book.append({ type: 'deadline', at: now(), round: this.#state.rounds.round })
  }

  dueIn(): number | undefined {
    const deadline = deadlineNow(this.#state)
    const folding = this.#folding.dueIn()
    if (deadline === null) return folding
    return Math.min(Math.max(0, deadline - this.#tools.now()), folding ?? Number.POSITIVE_INFINITY)
  }

  /** A worker hands back what has come of an assignment. */
  async hear(done: Done): Promise<void> {
    await this.makeUp()
    try {
      await this.#whole(() => this.#folding.hear(done))
    } catch (error) {
      if (!this.#folding.isWrong(error)) throw error
    }
  }

  /** Work on the sums, which stand no longer when it fails. */
  async #whole<R>(work: () => Promise<R>): Promise<R> {
    try {
      return await work()
    } catch (error) {
      this.#stands = false
      throw error
    }
  }

  async advance(): Promise<boolean> {
    if (await this.#secure.endPhase()) return true
    if (await this.#whole(() => this.#folding.advance())) return true
    if (this.#folding.pending && phaseOf(this.#state) === 'closing') return false
    if (phaseOf(this.#state) === 'closing') await this.#close()
    else if (this.#mayBegin()) await this.#beginWithinBudget()
    else return false
    return true
  }

  #mayBegin(): boolean {
    const { rounds, paused, stopped } = this.#state
    if (rounds.phase !== 'idle' || paused || stopped !== undefined) return false
    return populationSize(this.#state) >= neededClients(this.#tools.config)
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
    const asked = this.#secure.most(Math.min(all.length, Math.ceil(goal * rules.over - 1e-9)))
    const clients = named(sampleCohort(all.length, asked, federation.seed, round))
    return { clients, goal: asked > goal ? goal : null, minimum: Math.min(rules.minimumAnswers, goal) }
  }

  async #begin(): Promise<void> {
    const { book, config, now } = this.#tools
    const round = this.#state.rounds.round + 1
    const cohort = this.#cohort(round)
    const at = now()
    const secure = this.#secure.agree(cohort.clients)
    const seconds = secure === undefined ? config.clients.deadline : this.#secure.secondsOf('keys')
    const deadline = seconds === null ? null : at + 1000 * seconds
    await book.append({ type: 'begin', at, round, ...cohort, deadline, ...(secure && { secure }) })
    this.#stands = false
    await this.makeUp()
  }

  async #beginSums({ round, clients }: RecordOf<'begin'>): Promise<void> {
    const { offers, uploads } = this.#tools
    offers.reset()
    uploads.clear()
    await this.#aggregation.begin()
    const messages = this.#aggregation.ask(round, clients, (client) => this.#state.members.get(client)!.held)
    // Also after a restart: who was told of them before goes on with its download.
    for (const message of messages) await offers.put(message)
  }

  /** What the journal knows of the round that ends. */
  #facts(at: number): RoundFacts {
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
    const { offers, uploads, waiters } = this.#tools
    const { round, answered } = this.#state.rounds
    const { clients } = this.#state.current!.begun
    await this.#end.write(round, Object.keys(answered).sort(), (at) => this.#facts(at))
    offers.reset()
    uploads.clear()
    waiters.wake(clients)
    await this.#end.collect()
  }
}
