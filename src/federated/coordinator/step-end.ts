/** The end of a step: what has come becomes the next state, which is on disk before the journal says so. */
import type { BlobId } from '../blobs/blob-store.js'
import type { Aggregation, Outcome, RoundFacts } from './aggregation.js'
import type { RecordOf } from './records.js'
import { blobsOf } from './state.js'
import type { Tools } from './tools.js'

export class StepEnd {
  readonly #tools: Tools
  readonly #aggregation: Aggregation
  /** What a step has come to whose end is not in the journal yet: it is made once, however often its record is tried. */
  #made: { round: number; outcome: Outcome } | undefined

  constructor(tools: Tools, aggregation: Aggregation) {
    this.#tools = tools
    this.#aggregation = aggregation
  }

  /**
   * Makes the step of a round, and writes down how it ended.
   * @param facts - of it, asked for once.
   * @param counted - names whose answers are in it, ascending.
   */
  async write(round: number, counted: readonly string[], facts: (at: number) => RoundFacts): Promise<void> {
    const { book, blobs, log, now, privacy } = this.#tools
    const at = now()
    if (this.#made?.round !== round) {
      const known = facts(at)
      // Before anything is made of it; a round that makes no step shows nothing.
      if (known.abandon === undefined) await privacy?.budget.spend(round)
      this.#made = { round, outcome: await this.#finish(known) }
    }
    const { abandoned, event } = this.#made.outcome
    const checkpoint = await this.#aggregation.checkpoint(blobs)
    const report = JSON.parse(JSON.stringify(event)) as RecordOf<'commit'>['report']
    const end = { at, round, checkpoint, report, log: (await log?.position()) ?? 0 }
    if (abandoned !== undefined) await book.append({ type: 'abandon', why: abandoned, ...end })
    else await book.append({ type: 'commit', counted: [...counted], ...end })
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

  /** Removes the blobs that nothing names. */
  async collect(): Promise<void> {
    const { blobs, book, offers, uploads } = this.#tools
    const named = new Set<BlobId>([...blobsOf(book.state), ...[...uploads.values()].flatMap((begun) => [...begun])])
    await blobs.collect((id) => named.has(id) || offers.isLive(id))
  }
}
