/** Conducts a federation: has its course do what is due, when it is. What fails is tried again. */
import { FedloraError, isFedloraError } from '../../errors.js'
import type { Vectors } from '../algorithms/algorithm.js'
import type { Answer } from '../protocol/messages.js'
import type { Done } from '../workers/assignment.js'
import type { Aggregation } from './aggregation.js'
import { BufferCourse } from './buffer.js'
import type { Course } from './course.js'
import { Evaluations } from './evaluations.js'
import { RoundCourse } from './rounds.js'
import type { SecureRounds } from './secure.js'
import { saveAdapter } from './setup.js'
import { isOver, phaseOf, type State } from './state.js'
import type { Tools } from './tools.js'

/** Milliseconds before work that failed on the server is tried again. */
const retryAfter = 5000

export class Conductor {
  readonly #tools: Tools
  readonly #aggregation: Aggregation
  readonly #course: Course
  readonly #evaluations: Evaluations
  readonly #onOver: () => void
  #stopTimer = () => {}
  #over = false

  /** @param onOver - told once, when the federation is over and its adapter is written. */
  constructor(tools: Tools, aggregation: Aggregation, secure: SecureRounds, onOver: () => void) {
    this.#tools = tools
    this.#aggregation = aggregation
    const buffers = tools.book.state.buffering !== undefined
    this.#course = buffers ? new BufferCourse(tools, aggregation) : new RoundCourse(tools, aggregation, secure)
    this.#onOver = onOver
    this.#evaluations = new Evaluations(tools, aggregation.server, (error) => {
      if (error === undefined) void this.settle()
      else if (!tools.book.ended) this.#later(error)
    })
  }

  get #state(): State {
    return this.#tools.book.state
  }

  /** The sums of the step under way, where they do not stand: begun anew, with all that counts already. */
  async makeUp(): Promise<void> {
    await this.#course.makeUp()
  }

  /** Adds an answer that counts. Where that fails it counts all the same: it is added again before its step ends. */
  async add(answer: Answer, vectors: Vectors): Promise<void> {
    try {
      await this.#course.add(answer, vectors)
    } catch (error) {
      this.#later(error)
    }
  }

  /** A worker hands back. @throws what went wrong: it hands back again. */
  async hear(done: Done): Promise<void> {
    await this.#tools.book.exclusive(async () => await this.#course.hear?.(done))
    void this.settle()
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
      const left = this.#course.dueIn()
      if (left !== undefined) this.#wakeIn(left)
    } catch (error) {
      if (!book.ended) this.#later(error)
    }
  }

  async #settle(): Promise<void> {
    await this.#course.expire()
    while (await this.#advance());
    if (isOver(this.#state) && !this.#over && !this.#evaluations.pending) await this.#end()
  }

  async #advance(): Promise<boolean> {
    await this.makeUp()
    this.#evaluations.begin()
    // The next step changes the adapter that is being measured.
    if (phaseOf(this.#state) === 'closing' && this.#evaluations.pending) return false
    return await this.#course.advance()
  }

  /**
   * Where steps follow one another without a pause, an answer that comes while one is made counts in the next. Call within `exclusive`.
   * @throws FedloraError `E_UNREACHABLE` when the step cannot be made yet.
   */
  async makeRoom(): Promise<void> {
    if (this.#state.buffering === undefined || phaseOf(this.#state) !== 'closing') return
    try {
      await this.#advance()
      await this.makeUp()
    } catch (error) {
      if (this.#tools.book.ended) throw error
      this.#later(error)
    }
    if (phaseOf(this.#state) !== 'closing') return
    throw new FedloraError('E_UNREACHABLE', 'the server adds up what has come, and takes answers again soon')
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

  /** The federation is over: the adapter is written, and everybody is told. */
  async #end(): Promise<void> {
    const { folder, setup, tell, waiters } = this.#tools
    if (folder !== undefined) await saveAdapter(folder, setup, this.#aggregation.server)
    this.#over = true
    tell({ type: 'done', rounds: this.#state.ended.length })
    this.#onOver()
    waiters.wake()
  }
}
