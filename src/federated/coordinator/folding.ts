/**
 * The server's half of its workers: answers that have come are assigned in the order of the journal, so many at a time, and what is handed back counts once.
 * An assignment follows from the journal alone: a server that is opened again gives out the same ones, and takes what was made of them before. What no worker
 * hands back in time is done here.
 */
import { FedloraError, isFedloraError } from '../../errors.js'
import type { BlobId } from '../blobs/blob-store.js'
import { type Assignment, type Done, writeAssignment } from '../workers/assignment.js'
import { foldAssignment, sumsOf } from '../workers/fold.js'
import type { WorkQueue } from '../workers/work-queue.js'
import type { Aggregation } from './aggregation.js'
import type { WorkersConfig } from './options.js'
import { phaseOf, type State } from './state.js'
import type { Tools } from './tools.js'

/** An assignment that is out. */
interface Out {
  readonly id: BlobId
  readonly assignment: Assignment
  /** When it was given out, milliseconds since the epoch. */
  readonly since: number
}

const clientsOf = ({ answers }: Assignment) => answers.map(({ manifest }) => manifest.answer.client)

/** Whether a result speaks of each answer once, and of no other. */
function fits(assignment: Assignment, { accepted, refused }: Done): boolean {
  const told = [...accepted, ...refused.map(({ client }) => client)].sort()
  const asked = clientsOf(assignment).sort()
  return told.length === asked.length && told.every((client, i) => client === asked[i])
}

export class Folding {
  readonly #tools: Tools
  readonly #aggregation: Aggregation
  /** Those of the round under way, by the names of their clients. */
  readonly #out = new Map<string, Out>()
  #round = 0

  constructor(tools: Tools, aggregation: Aggregation) {
    this.#tools = tools
    this.#aggregation = aggregation
  }

  get #state(): State {
    return this.#tools.book.state
  }

  get #workers(): { queue: WorkQueue; config: WorkersConfig } | undefined {
    const { queue, config } = this.#tools
    return queue && config.workers && { queue, config: config.workers }
  }

  /** Whether answers are still to be screened, and the round waits for that. */
  get pending(): boolean {
    const { received, cancelled } = this.#state.current ?? {}
    return cancelled === undefined && received !== undefined && received.size > 0
  }

  /** The sums of a round begin, or do again: what is out of it stays so. */
  beginAgain(): void {
    const { round } = this.#state.rounds
    if (round !== this.#round) this.#out.clear()
    this.#round = round
  }

  /** The sums of the round once more, of what workers have handed back. */
  async endAgain(): Promise<void> {
    const { folds, accepted } = this.#state.current!
    for (const { clients, ...fold } of folds) {
      const manifests = clients.map((client) => accepted.get(client)!)
      this.#aggregation.addSummed(manifests, await sumsOf(fold, this.#tools.blobs))
    }
  }

  /** Gives out what can be: answers enough for an assignment, or, when no more come, what is left. */
  async #send(): Promise<void> {
    const received = [...this.#state.current!.received.values()]
    const size = this.#workers?.config.answers ?? received.length
    const closing = phaseOf(this.#state) === 'closing'
    for (let at = 0; at + (closing ? 1 : size) <= received.length; at += size) {
      const manifests = received.slice(at, at + size).map(({ manifest }) => manifest)
      const key = JSON.stringify(manifests.map(({ answer }) => answer.client))
      if (this.#out.has(key)) continue
      const assignment = this.#assignmentOf(manifests)
      const { id, bytes } = writeAssignment(assignment)
      if (this.#workers !== undefined) {
        await this.#tools.blobs.put(bytes)
        await this.#workers.queue.put(id)
      }
      this.#out.set(key, { id, assignment, since: this.#tools.now() })
    }
  }

  #assignmentOf(manifests: readonly Assignment['answers'][number]['manifest'][]): Assignment {
    const { screening } = this.#tools.config.federation
    return {
      version: 1,
      run: this.#state.description!.run,
      round: this.#state.rounds.round,
      ...(screening && { screening }),
      answers: manifests.map((manifest) => ({ manifest, share: this.#aggregation.shareOf(manifest) })),
    }
  }

  /** Milliseconds until an assignment is done here. */
  #leftOf({ since }: Out): number {
    const workers = this.#workers
    return workers === undefined ? 0 : Math.max(0, since + 1000 * workers.config.deadline - this.#tools.now())
  }

  /** Milliseconds until something is done here; undefined: nothing is out. */
  dueIn(): number | undefined {
    const left = [...this.#out.values()].map((out) => this.#leftOf(out))
    return left.length === 0 ? undefined : Math.min(...left)
  }

  /** Gives out what can be, and does one assignment that nobody has done; false: there is none. */
  async advance(): Promise<boolean> {
    if (!this.pending) return false
    await this.#send()
    const late = [...this.#out.values()].find((out) => this.#leftOf(out) === 0)
    if (late === undefined) return false
    const { blobs, tell } = this.#tools
    if (this.#workers !== undefined) {
      const message = `no worker has handed back ${late.assignment.answers.length} answers in time: the server sums them up`
      tell({ type: 'trouble', code: 'E_UNREACHABLE', message })
    }
    await this.#count(late, await foldAssignment(late.id, late.assignment, blobs))
    return true
  }

  /**
   * A worker hands back. What is not out, or was counted, is not needed.
   * @throws FedloraError what went wrong, also what `isWrong` says of: the sums of the round then stand no longer.
   */
  async hear(done: Done): Promise<void> {
    if (!this.pending) return
    await this.#send()
    const out = [...this.#out.values()].find(({ id }) => id === done.assignment)
    if (out === undefined) return
    if (!fits(out.assignment, done)) throw new FedloraError('E_PROTOCOL', 'a worker has handed back other answers')
    await this.#count(out, done)
  }

  /** Whether what a worker has handed back is of no use, and why is told: it is done here when its time is over. */
  isWrong(error: unknown): boolean {
    if (!isFedloraError(error) || !wrong.has(error.code)) return false
    const message = `a worker has handed back what cannot be merged: ${error.message}`
    this.#tools.tell({ type: 'trouble', code: error.code, message })
    return true
  }

  /**
   * What has come of an assignment counts. It is merged before that is written down: sums that are not what they should be are in no journal.
   * @throws FedloraError what went wrong.
   */
  async #count(out: Out, { partial, sums, accepted, refused }: Done): Promise<void> {
    const { book, blobs, now, waiters } = this.#tools
    const { received } = this.#state.current!
    const manifests = accepted.map((client) => received.get(client)!.manifest)
    this.#aggregation.addSummed(manifests, await sumsOf({ partial, sums }, blobs))
    const { round } = this.#state.rounds
    await book.append({ type: 'folded', at: now(), round, assignment: out.id, partial, sums, accepted, refused })
    this.#out.delete(JSON.stringify(clientsOf(out.assignment)))
    waiters.wake(refused.map(({ client }) => client)) // the others hear of it when the round ends
  }
}

/** What is wrong with sums that are not those of an assignment. */
const wrong: ReadonlySet<string> = new Set([
  'E_PROTOCOL',
  'E_FORMAT',
  'E_CHECKSUM',
  'E_VERSION',
  'E_SHAPE',
  'E_ARGUMENT',
  'E_BLOB_MISSING',
])
