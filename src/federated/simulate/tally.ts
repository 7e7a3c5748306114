/** The answers of a round that count: added to the server's sums as they come, and kept as they are reported. */
import { isFedloraError } from '../../errors.js'
import type { Vectors } from '../algorithms/algorithm.js'
import { scaled } from '../algorithms/vectors.js'
import type { RefusedAnswer } from '../events.js'
import type { Counted } from '../figures.js'
import type { Answer } from '../protocol/messages.js'
import type { Done } from './answer-file.js'
import { reportOf } from './client-work.js'
import type { RoundTools } from './tools.js'

/** An answer that counts. */
export interface Tallied {
  index: number
  /** The round that it answers. */
  round: number
  report: Counted
}

export class Tally {
  readonly #tools: Pick<RoundTools, 'config' | 'server' | 'spaces' | 'clients' | 'attackers' | 'fidelity'>
  readonly #counted: Tallied[] = []
  readonly #refused: RefusedAnswer[] = []

  constructor(tools: Pick<RoundTools, 'config' | 'server' | 'spaces' | 'clients' | 'attackers' | 'fidelity'>) {
    this.#tools = tools
  }

  /** The vectors of an answer that may count; one that may not is written down as refused. */
  screen(index: number, answer: Answer): Vectors | undefined {
    const { server, spaces, clients } = this.#tools
    try {
      return server.screen(answer, spaces.of(index))
    } catch (error) {
      if (!isFedloraError(error)) throw error
      const { code, message } = error
      this.#refused.push({ client: clients.place(index), name: answer.client, code, message })
      return undefined
    }
  }

  /** Answers that were refused, by the places of their clients. */
  get refused(): readonly RefusedAnswer[] {
    return this.#refused.sort((a, b) => a.client - b.client)
  }

  /**
   * @param received - its vectors as they were screened.
   * @param scale - what the update is scaled by; below 1 for one that is late or stale.
   */
  async add(
    index: number,
    { answer, vectors, trained, bytesUpRaw }: Done,
    received: Vectors,
    scale = 1,
  ): Promise<void> {
    const { config, server, spaces, fidelity } = this.#tools
    await server.accept(answer, spaces.of(index), trained, received, scale)
    if (answer.loss !== null && config.robust === undefined)
      fidelity.add(answer.client, scaled(vectors, scale), server.weightInSums(answer))
    this.#counted.push({
      index,
      round: answer.round,
      report: { ...reportOf(this.#tools, answer, index), bytesUpRaw },
    })
  }

  /** Whether an answer to another round than this counts. */
  belated(round: number): boolean {
    return this.#counted.some((counted) => counted.round !== round)
  }

  /** In the order of names, which decides the last bit of the loss; answers of one client by their rounds. */
  get counted(): readonly Tallied[] {
    return this.#counted.sort((a, b) => a.index - b.index || a.round - b.round)
  }
}
