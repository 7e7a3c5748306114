/**
 * The global adapter, measured while the next round is under way. One measurement at a time, and a round ends behind that of the round before: the
 * adapter that is due is always the server's last, so that one that a stop cut off is made again from the same bits.
 */
import { FedloraError, isFedloraError } from '../../errors.js'
import type { Server } from '../server/server.js'
import type { Measured } from './judge.js'
import { isOver } from './state.js'
import type { Tools } from './tools.js'

type Hearing = Pick<Tools, 'judge' | 'book' | 'now' | 'tell'>

export class Evaluations {
  readonly #tools: Hearing
  readonly #server: Server
  readonly #gone = new AbortController()
  readonly #onDone: (error?: unknown) => void
  #under: Promise<void> | undefined

  /** @param onDone - told when a measurement is written down, or why it could not be. */
  constructor(tools: Hearing, server: Server, onDone: (error?: unknown) => void) {
    this.#tools = tools
    this.#server = server
    this.#onDone = onDone
  }

  /** The round whose adapter is to be measured; undefined: none. */
  get #due(): number | undefined {
    const { judge, book } = this.#tools
    const { ended } = book.state
    const round = ended.length
    if (judge === undefined || round === 0 || ended[round - 1]!.measured !== undefined) return undefined
    const { every } = judge
    return isOver(book.state) || (every > 0 && round % every === 0) ? round : undefined
  }

  /** Whether the last round's adapter is still needed as it is. */
  get pending(): boolean {
    return this.#under !== undefined || this.#due !== undefined
  }

  /** Begins what is due, unless it is under way. */
  begin(): void {
    const round = this.#due
    if (round === undefined || this.#under !== undefined || this.#gone.signal.aborted) return
    this.#under = this.#run(round).then(
      () => this.#ended(),
      (error: unknown) => this.#ended(error),
    )
  }

  #ended(error?: unknown): void {
    this.#under = undefined
    if (!this.#gone.signal.aborted) this.#onDone(error)
  }

  async #run(round: number): Promise<void> {
    const { book, now } = this.#tools
    const result = await this.#measure()
    if (this.#gone.signal.aborted) return
    await book.exclusive(() => book.append({ type: 'measured', at: now(), round, ...result }))
  }

  /** What fails is told and written down: a federation does not stand still for its figures. */
  async #measure(): Promise<{ result: Measured | null; why?: string }> {
    const { judge, tell } = this.#tools
    try {
      const result = await judge!.measure(this.#server.result, this.#server.residual, this.#gone.signal)
      if (Number.isFinite(result.loss) && Number.isFinite(result.perplexity)) return { result }
      throw new FedloraError('E_NONFINITE', `the loss of the global adapter is ${result.loss}`)
    } catch (error) {
      const { code, message } = isFedloraError(error) ? error : { code: 'E_INTERNAL', message: String(error) }
      if (!this.#gone.signal.aborted) tell({ type: 'trouble', code, message: `evaluate: ${message}` })
      return { result: null, why: `${message} (${code})` }
    }
  }

  /** Stops what is under way: it is made again when the federation is opened. */
  async close(): Promise<void> {
    this.#gone.abort()
    await this.#under
  }
}
