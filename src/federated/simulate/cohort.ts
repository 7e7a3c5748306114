/** Who is asked: the draw of the cohort, among all clients or, with a clock, among those of a tier that are there. */
import type { Dataset } from '../../data/index.js'
import { FedloraError } from '../../errors.js'
import type { FederationConfig } from '../options.js'
import { cohortOf, cohortSize, sampleCohort } from '../protocol/plan.js'
import type { Clients } from './clients.js'
import type { Clock } from './clock/clock.js'
import { tierOf, tiersOf } from './clock/tiers.js'
import type { Locals } from './overrides.js'

export interface Cohort {
  /** Indices, ascending. */
  members: number[]
  /** Answers that the round is after; undefined: all. */
  goal: number | undefined
}

/** Tokens that a client's local work will train, by the mean of its first rows. */
function expectedTokens(data: Dataset, local: ReturnType<Locals['of']>): number {
  const looked = Math.min(data.length, 32)
  let tokens = 0
  for (let row = 0; row < looked; row++) tokens += data.facts(row).tokens
  const rows =
    local.epochs === undefined
      ? local.steps! * local.batchSize * local.gradientAccumulation
      : local.epochs * data.length
  return (tokens / looked) * rows
}

/** Draws cohorts of one federation. */
export class CohortDraw {
  readonly #config: FederationConfig
  readonly #clients: Clients
  readonly #clock: Clock | undefined
  readonly #tiers: readonly number[][] | undefined
  /** Answers that a round is after, and clients that it asks for them. */
  readonly #goal: number
  readonly #asked: number

  /**
   * @param bytes - of an adapter's message: what tiers suppose to travel each way.
   * @throws FedloraError `E_CONFIG` when a tier has too few clients, or the minimum is more than a round is after.
   */
  constructor(config: FederationConfig, clients: Clients, locals: Locals, clock: Clock | undefined, bytes: number) {
    this.#config = config
    this.#clients = clients
    this.#clock = clock
    this.#goal = cohortSize(config.cohort, clients.length)
    const { over = 1, tiers = 1, minimumAnswers = 0 } = clock?.options ?? {}
    // A product a rounding above a whole number is that number.
    this.#asked = Math.min(clients.length, Math.ceil(this.#goal * over - 1e-9))
    if (minimumAnswers > this.#goal) {
      const message = `clock.minimumAnswers: got ${minimumAnswers}, expected at most ${this.#goal}, the answers that a round is after; lower it, or raise cohort`
      throw new FedloraError('E_CONFIG', message, { minimumAnswers, cohort: this.#goal })
    }
    if (clock === undefined || tiers === 1) return
    const smallest = Math.floor(clients.length / tiers)
    if (smallest < this.#asked) {
      const message = `clock.tiers: ${tiers} tiers of ${clients.length} clients have ${smallest} each, expected at least ${this.#asked}, which a round asks; use fewer tiers, or a smaller cohort`
      throw new FedloraError('E_CONFIG', message, { tiers, clients: clients.length, asked: this.#asked })
    }
    const seconds = Array.from({ length: clients.length }, (_, index) => {
      const work = { bytesDown: bytes, bytesUp: bytes, tokens: expectedTokens(clients.data(index), locals.of(index)) }
      const { download, compute, upload } = clock.part(clients.name(index), 0, 0, work).seconds
      return download + compute + upload
    })
    this.#tiers = tiersOf(seconds, tiers)
  }

  /**
   * The cohort of a round (from 1).
   * @param busy - names of clients that still work for an earlier round.
   */
  of(round: number, busy: ReadonlySet<string> = new Set()): Cohort {
    const { cohort, seed } = this.#config
    const clock = this.#clock
    if (clock === undefined) return { members: cohortOf(this.#clients.length, cohort, seed, round), goal: undefined }
    const tier = this.tierOf(round)
    const free = (tier === null ? this.#all : this.#tiers![tier]!).filter(
      (index) => !busy.has(this.#clients.name(index)),
    )
    const goal = clock.options.over > 1 ? this.#goal : undefined
    return { members: this.#draw(free, this.#asked, round, 0), goal }
  }

  /**
   * Who begins next in an asynchronous federation, at most `count`.
   * @param round - number of the version, from 1.
   * @param drawn - how many have been drawn for this version.
   * @param mayStart - whether a client, by name, may.
   */
  starters(round: number, count: number, drawn: number, mayStart: (name: string) => boolean): number[] {
    if (count === 0) return []
    const free = this.#all.filter((index) => mayStart(this.#clients.name(index)))
    return this.#draw(free, count, round, drawn)
  }

  get #all(): number[] {
    return Array.from({ length: this.#clients.length }, (_, index) => index)
  }

  #draw(from: readonly number[], count: number, round: number, drawn: number): number[] {
    const candidates = this.#present(from, count, round)
    const places = sampleCohort(candidates.length, Math.min(count, candidates.length), this.#config.seed, round, drawn)
    return places.map((place) => candidates[place]!)
  }

  /** The tier of a round, the fastest is 0; null without tiers. */
  tierOf(round: number): number | null {
    return this.#tiers === undefined ? null : tierOf(this.#tiers.length, this.#config.seed, round)
  }

  /** Those that work now; where they are too few, those that come next as well, but for those that never do. */
  #present(candidates: readonly number[], wanted: number, round: number): readonly number[] {
    const clock = this.#clock!
    const coming = candidates.map((index) => ({ index, at: clock.next(this.#clients.name(index), round) }))
    const now = coming.filter(({ at }) => at === clock.now)
    if (now.length >= wanted) return now.map(({ index }) => index)
    return coming
      .filter(({ at }) => at < Number.POSITIVE_INFINITY)
      .sort((a, b) => a.at - b.at || a.index - b.index)
      .slice(0, wanted)
      .map(({ index }) => index)
      .sort((a, b) => a - b)
  }
}
