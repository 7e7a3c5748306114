/**
 * A round in virtual time: when each answer is due, which of them come before the round closes, and what becomes of those that do not. Where
 * a round may close early, all answers wait in files until every client has worked, and are then taken in the order of their arrival.
 */
import type { ClientOutcome, RoundTime } from '../events.js'
import { stalenessScale } from '../protocol/buffers.js'
import type { RoundRules } from '../protocol/rounds.js'
import { type Done, waitingPart } from './answer-file.js'
import { broadcastTo } from './client-work.js'
import type { Clock } from './clock/clock.js'
import { TimeSheet } from './time-sheet.js'
import type { RoundTools } from './tools.js'
import type { Due, Held } from './waiting.js'

/** Takes an answer into the round, its update scaled; gives whether it counts. */
type Take = (index: number, done: Done, scale?: number) => Promise<boolean>

export class TimedRound {
  readonly #tools: RoundTools
  readonly #clock: Clock
  readonly #round: number
  readonly #sheet: TimeSheet
  readonly #indexOf: ReadonlyMap<string, number>
  #end: number

  private constructor(tools: RoundTools, clock: Clock, round: number) {
    this.#tools = tools
    this.#clock = clock
    this.#round = round
    this.#sheet = new TimeSheet(clock, round)
    this.#indexOf = new Map(
      Array.from({ length: tools.clients.length }, (_, index) => [tools.clients.name(index), index]),
    )
    this.#end = clock.now
  }

  /** Undefined without a clock. */
  static begin(tools: RoundTools, round: number): TimedRound | undefined {
    return tools.clock === undefined ? undefined : new TimedRound(tools, tools.clock, round)
  }

  /** Clients that still work for an earlier round. */
  get busy(): ReadonlySet<string> {
    return new Set(this.#tools.waiting?.all.map(({ client }) => client))
  }

  get rules(): RoundRules {
    const { minimumAnswers, late } = this.#clock.options
    return { minimum: minimumAnswers, tolerance: late === 'discard' ? 0 : late.maxStaleness }
  }

  /** Late answers that can count no more are waited for no longer. */
  async forget(owing: Readonly<Record<string, number>>): Promise<void> {
    const { waiting } = this.#tools
    for (const held of waiting?.all ?? []) if (owing[held.client] !== held.round) await waiting!.drop(held)
  }

  absent(index: number): void {
    const { clients } = this.#tools
    const { bytes } = broadcastTo(this.#tools, index, this.#round)
    this.#sheet.absent(clients.name(index), clients.place(index), bytes)
  }

  /** A client has worked: its answer counts, waits until it is due, or never comes. */
  async worked(index: number, done: Done, take: Take, fail: (client: string, code: string) => void): Promise<void> {
    const { waiting, own } = this.#tools
    const { answer } = done
    const due = this.#sheet.due(answer, broadcastTo(this.#tools, index, this.#round).bytes)
    if (due.finish === Number.POSITIVE_INFINITY) {
      this.#note(due, 'unavailable')
      await own?.forget(answer.client)
      fail(answer.client, 'unavailable')
    } else if (waiting !== undefined) await waiting.put(due, waitingPart(done, this.#tools.config.upload.codec))
    else {
      this.#end = Math.max(this.#end, due.finish)
      this.#note(due, (await take(index, done)) ? 'counted' : 'refused')
    }
  }

  #note(due: Due, outcome: ClientOutcome): void {
    this.#sheet.note(due, this.#tools.clients.place(this.#indexOf.get(due.client)!), outcome)
  }

  /** Takes the answers in virtual time for as long as the round is open; what is open at the deadline closes. */
  async settle(open: () => boolean, take: Take, close: () => void): Promise<void> {
    const { waiting } = this.#tools
    if (waiting === undefined) return
    const { deadline = Number.POSITIVE_INFINITY, late } = this.#clock.options
    const last = this.#sheet.start + deadline
    for (const held of waiting.all) {
      if (!open() || held.finish > last) break
      const staleness = this.#round - held.round
      const scale = late === 'discard' ? 1 : stalenessScale(staleness, late.exponent)
      const counts = await take(this.#indexOf.get(held.client)!, await waiting.read(held), scale)
      await waiting.drop(held)
      this.#note(held, counts ? 'counted' : 'refused')
      this.#end = Math.max(this.#end, held.finish)
    }
    if (!open()) return
    close()
    this.#end = last
  }

  /** The round has ended: late answers go on waiting where they may count later. */
  async close(abandoned: boolean): Promise<RoundTime> {
    const { waiting } = this.#tools
    const forgets = abandoned || this.#clock.options.late === 'discard'
    for (const held of waiting?.all ?? []) {
      if (held.round !== this.#round) continue
      this.#note(held, 'late')
      if (forgets) await this.#forgetLate(held)
    }
    return this.#sheet.close(this.#end, this.#tools.cohorts.tierOf(this.#round), ({ round }) => round === this.#round)
  }

  /** A client that is told that it came too late: its round never was. */
  async #forgetLate(held: Held): Promise<void> {
    await this.#tools.waiting!.drop(held)
    await this.#tools.own?.forget(held.client)
  }
}
