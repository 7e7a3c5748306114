/** Conducts the rounds: begins one when it may, ends it when it must, and keeps what it came to. What fails is tried again. */
import { isFedloraError } from '../../errors.js'
import type { BlobId } from '../blobs/blob-store.js'
import type { RefusedAnswer } from '../events.js'
import { cohortSize, sampleCohort } from '../protocol/plan.js'
import type { Aggregation } from './aggregation.js'
import { answerOf } from './answers.js'
import type { RecordOf } from './records.js'
import { saveAdapter } from './setup.js'
import { isOver, population, type State } from './state.js'
import type { Tools } from './tools.js'

/** Milliseconds before work that failed on the server is tried again. */
const retryAfter = 5000

export class Conductor {
  readonly #tools: Tools
  readonly #aggregation: Aggregation
  readonly #onOver: () => void
  #stopTimer = () => {}
  #over = false

  /** @param onOver - told once, when the federation is over and its adapter is written. */
  constructor(tools: Tools, aggregation: Aggregation, onOver: () => void) {
    this.#tools = tools
    this.#aggregation = aggregation
    this.#onOver = onOver
  }

  get #state(): State {
    return this.#tools.book.state
  }

  /** The answers of the round under way, which count already, are added once more. */
  async addAgain(): Promise<void> {
    const { rounds, current } = this.#state
    if (current === undefined || (rounds.phase !== 'open' && rounds.phase !== 'closing')) return
    await this.#beginSums(current.begun)
    for (const manifest of current.accepted.values()) {
      await this.#aggregation.add(await answerOf(manifest, this.#tools.blobs))
    }
  }

  /** Does what is due. */
  async settle(): Promise<void> {
    const { book, tell } = this.#tools
    this.#stopTimer()
    try {
      await book.exclusive(() => this.#settle())
      const left = this.deadlineIn()
      if (left !== undefined) this.#wakeIn(left)
    } catch (error) {
      if (book.ended) return
      const { code, message } = isFedloraError(error) ? error : { code: 'E_INTERNAL', message: String(error) }
      tell({ type: 'trouble', code, message })
      this.#wakeIn(retryAfter)
    }
  }

  async #settle(): Promise<void> {
    const { book, now } = this.#tools
    if (this.deadlineIn() === 0) await book.append({ type: 'deadline', at: now(), round: this.#state.rounds.round })
    for (;;) {
      if (this.#state.rounds.phase === 'closing') await this.#close()
      else if (this.#mayBegin()) await this.#begin()
      else break
    }
    if (isOver(this.#state) && !this.#over) await this.#end()
  }

  #wakeIn(milliseconds: number): void {
    this.#stopTimer()
    this.#stopTimer = this.#tools.after(milliseconds, () => void this.settle())
  }

  /** No timer runs any more. */
  stop(): void {
    this.#stopTimer()
  }

  /** Milliseconds until the round under way closes; undefined: no round is open, or it waits for ever. */
  deadlineIn(): number | undefined {
    const { rounds, current } = this.#state
    const deadline = rounds.phase === 'open' ? current!.begun.deadline : null
    return deadline === null ? undefined : Math.max(0, deadline - this.#tools.now())
  }

  /** Clients that must have joined before a round begins. */
  get needed(): number {
    const { federation, clients } = this.#tools.config
    const { cohort } = federation
    const absolute = typeof cohort === 'object' ? cohort.clients : Math.max(cohort, 1)
    return Math.max(clients.minimum, absolute)
  }

  #mayBegin(): boolean {
    const { rounds, paused, stopped } = this.#state
    return rounds.phase === 'idle' && !paused && stopped === undefined && population(this.#state).length >= this.needed
  }

  async #begin(): Promise<void> {
    const { book, config, now, tell, waiters } = this.#tools
    const { federation, clients: rules } = config
    const round = this.#state.rounds.round + 1
    const all = population(this.#state)
    const goal = cohortSize(federation.cohort, all.length)
    // A product a rounding above a whole number is that number.
    const asked = Math.min(all.length, Math.ceil(goal * rules.over - 1e-9))
    const clients = sampleCohort(all.length, asked, federation.seed, round).map((index) => all[index]!)
    const at = now()
    const deadline = rules.deadline === null ? null : at + 1000 * rules.deadline
    const minimum = Math.min(rules.minimumAnswers, goal)
    await book.append({ type: 'begin', at, round, clients, goal: asked > goal ? goal : null, minimum, deadline })
    await this.#beginSums(this.#state.current!.begun)
    tell({ type: 'begin', round, rounds: federation.rounds, clients, deadline })
    waiters.wake(clients)
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
    const { book, blobs, now, offers, tell, uploads, waiters } = this.#tools
    const at = now()
    const { round, answered } = this.#state.rounds
    const { clients } = this.#state.current!.begun
    const { abandoned, event } = await this.#aggregation.finish(this.#facts(at))
    const checkpoint = await this.#aggregation.checkpoint(blobs)
    const report = JSON.parse(JSON.stringify(event)) as RecordOf<'commit'>['report']
    const end = { at, round, checkpoint, report, log: 0 }
    if (abandoned !== undefined) await book.append({ type: 'abandon', why: abandoned, ...end })
    else await book.append({ type: 'commit', counted: Object.keys(answered).sort(), ...end })
    offers.reset()
    uploads.clear()
    tell(event)
    waiters.wake(clients)
    await this.#collect()
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
    const named = new Set<BlobId>([description!.initial.blob, ...uploads.values()])
    for (const { blob } of Object.values(checkpoint?.vectors ?? {})) named.add(blob)
    for (const { blob } of current?.accepted.values() ?? []) if (blob !== null) named.add(blob.blob)
    await blobs.collect((id) => named.has(id) || offers.isLive(id))
  }
}
