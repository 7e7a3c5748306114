/** What a round comes to in virtual time: who was asked when, who came when, and the sums of it. */
import type { ClientOutcome, ClientTime, RoundTime } from '../events.js'
import type { Answer } from '../protocol/messages.js'
import { bytesUpOf } from './client-work.js'
import type { Clock } from './clock/clock.js'
import type { Due } from './waiting.js'

const phases = ['wait', 'download', 'compute', 'upload'] as const

/** Parts of different clients in the order of names, which decides the last bit of sums; those of one client by their rounds. */
const byName = (a: { due: Due }, b: { due: Due }) =>
  a.due.client < b.due.client ? -1 : a.due.client > b.due.client ? 1 : a.due.round - b.due.round

export class TimeSheet {
  readonly #clock: Clock
  readonly #round: number
  readonly start: number
  readonly #entries: { due: Due; place: number; outcome: ClientOutcome }[] = []

  /** @param round - under way, from 1. */
  constructor(clock: Clock, round: number) {
    this.#clock = clock
    this.#round = round
    this.start = clock.now
  }

  /** When the answer of a client that is asked now is due. */
  due(answer: Answer, bytesDown: number): Due {
    const { client, round, tokens } = answer
    const [asked, bytesUp] = [this.#clock.now, bytesUpOf(answer)]
    return {
      client,
      round,
      asked,
      bytesDown,
      bytesUp,
      tokens,
      ...this.#clock.part(client, round, asked, { bytesDown, tokens, bytesUp }),
    }
  }

  /**
   * Writes down what became of a client's part.
   * @param place - of the client in the list that was given.
   */
  note(due: Due, place: number, outcome: ClientOutcome): void {
    this.#entries.push({ due, place, outcome })
  }

  /** A client that was asked and did nothing. */
  absent(client: string, place: number, bytesDown: number): void {
    const seconds = { wait: 0, download: 0, compute: 0, upload: 0 }
    const never = { asked: this.start, finish: Number.POSITIVE_INFINITY, seconds, bytesUp: 0, tokens: 0 }
    this.note({ client, round: this.#round, bytesDown, ...never }, place, 'absent')
  }

  /**
   * The round is over: the clock goes on to its end.
   * @param counts - whether a part is one of this round's sums.
   */
  close(end: number, tier: number | null, counts: (due: Due) => boolean): RoundTime {
    const entries = this.#entries.sort(byName)
    const seconds = { wait: 0, download: 0, compute: 0, upload: 0 }
    const sums = { bytesUp: 0, bytesDown: 0, tokens: 0, joules: 0 }
    for (const { due } of entries.filter(({ due }) => counts(due))) {
      sums.bytesDown += due.bytesDown
      if (due.finish === Number.POSITIVE_INFINITY) continue
      sums.bytesUp += due.bytesUp
      sums.tokens += due.tokens
      for (const phase of phases) seconds[phase] += due.seconds[phase]
      sums.joules += this.#clock.joulesOf(due)
    }
    this.#clock.now = end
    this.#clock.joules += sums.joules
    return { start: this.start, end, seconds, ...sums, tier, clients: this.#clients(entries) }
  }

  #clients(entries: readonly { due: Due; place: number; outcome: ClientOutcome }[]): ClientTime[] {
    const inOrder = [...entries].sort((a, b) => (a.due.finish === b.due.finish ? 0 : a.due.finish - b.due.finish))
    return inOrder.map(({ due: { client: name, round, asked, finish }, place, outcome }) => ({
      client: place,
      name,
      round,
      asked,
      finish: finish === Number.POSITIVE_INFINITY ? null : finish,
      outcome,
      staleness: this.#round - round,
    }))
  }
}
