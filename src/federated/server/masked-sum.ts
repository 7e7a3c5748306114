/**
 * The sum of masked vectors: the server's half of a secure aggregation, in the place where an open federation has its exact mean. What lies here is
 * keys, sealed shares and one sum that is uniform until the round's end; of no client there is an update.
 */
import { FedloraError } from '../../errors.js'
import { native } from '../../native/load.js'
import type { RoundEvent } from '../events.js'
import type { Answer } from '../protocol/messages.js'
import { close } from '../protocol/secagg/close.js'
import { type FromClient, sizeOf, type ToClient } from '../protocol/secagg/messages.js'
import { refuse } from '../protocol/secagg/refuse.js'
import { type AggregationState, check, openRound, receive } from '../protocol/secagg/server.js'
import { type Setup, sized } from '../protocol/secagg/setup.js'
import { type Unmasked, unmask } from '../protocol/secagg/unmask.js'
import type { Collector } from './collect.js'
import type { ChosenPart } from './shapes.js'

/** Names and lengths of the vectors that lie one after the other. */
type Layout = readonly (readonly [name: string, length: number])[]

export class MaskedSum implements Collector {
  readonly #choiceOf: (name: string) => ChosenPart | undefined
  #state: AggregationState | undefined
  #names: readonly string[] = []
  #layout: Layout = []
  #bytes = { up: 0, down: 0 }
  #result: Unmasked | undefined
  readonly #means = new Map<string, Float32Array>()

  /** @param choiceOf - what travels of a vector in the round under way; undefined: all of it. */
  constructor(choiceOf: (name: string) => ChosenPart | undefined = () => undefined) {
    this.#choiceOf = choiceOf
  }

  begin(): void {
    this.#state = undefined
    this.#layout = []
    this.#bytes = { up: 0, down: 0 }
    this.#result = undefined
  }

  /**
   * The round's clients are known. How long updates are is not until the first comes.
   * @param names - of the clients, by number.
   */
  open(setup: Omit<Setup, 'length'>, names: readonly string[]): void {
    this.#state = openRound({ ...setup, length: 1 })
    this.#names = names
  }

  get #round(): AggregationState {
    if (this.#state === undefined) throw new FedloraError('E_INTERNAL', 'a masked sum before its round was opened')
    return this.#state
  }

  /** What clients are to say now. */
  get phase(): AggregationState['phase'] {
    return this.#round.phase
  }

  /** Why there will be no sum, once that is known. */
  get abandoned(): string | undefined {
    return this.#round.abandoned
  }

  /** Clients whose vectors are in the sum, bytes of the protocol beside the masked vectors, and who gave shares that are wrong. */
  get report(): NonNullable<RoundEvent['secureAggregation']> {
    const { up, down } = this.#bytes
    const culprits = this.#result?.culprits.map((client) => this.#names[client]!) ?? []
    const wrong = culprits.length > 0 && { culprits }
    return { survivors: this.#round.survivors.length, bytesUp: up, bytesDown: down, ...wrong }
  }

  /**
   * What a client says, but for its masked vector, if it may be taken now. Nothing changes.
   * @throws FedloraError `E_PROTOCOL`, `E_FORMAT` naming the client.
   */
  check(client: string, message: unknown): FromClient {
    return this.#checkIn(this.#round, client, message)
  }

  #checkIn(round: AggregationState, client: string, message: unknown): FromClient {
    const said = check(round, message)
    const name = this.#names[said.client]
    if (name === client) return said
    throw refuse(`client ${client} speaks as client ${name}`, { client, as: name })
  }

  /**
   * Takes what a client says, but for its masked vector.
   * @throws FedloraError as `check`; nothing of it counts.
   */
  hear(client: string, message: unknown): void {
    const said = this.check(client, message)
    this.#state = receive(this.#round, said, native())
    this.#bytes.up += sizeOf(said)
  }

  /** Why ending the phase would end the round without a sum; undefined: it goes on. */
  get shortage(): string | undefined {
    return close(this.#round).state.abandoned
  }

  /** Ends a phase, and gives what clients are told. */
  close(): readonly ToClient[] {
    const { state, messages } = close(this.#round)
    this.#state = state
    for (const message of messages) this.#bytes.down += sizeOf(message)
    return messages
  }

  /**
   * Whether a masked vector may be added now. Nothing changes.
   * @throws FedloraError `E_SHAPE` when it is made up otherwise than the first was; `E_PROTOCOL`, `E_FORMAT`.
   */
  checkMasked(client: string, { vectors, message }: NonNullable<Answer['masked']>): void {
    if (this.#layout.length > 0 && JSON.stringify(vectors) !== JSON.stringify(this.#layout)) {
      const text = `the answer of client ${client}: masked vectors ${JSON.stringify(vectors)}, expected ${JSON.stringify(this.#layout)}: what adds up is of one shape`
      throw new FedloraError('E_SHAPE', text, { client })
    }
    this.#checkIn(this.#sizedFor(vectors), client, message)
  }

  /** The first masked vector says how long all are. */
  #sizedFor(vectors: Layout): AggregationState {
    if (this.#layout.length > 0) return this.#round
    return sized(
      this.#round,
      vectors.reduce((sum, [, length]) => sum + length, 0),
    )
  }

  /** Adds a masked vector. @throws FedloraError as `checkMasked`; nothing of it counts. */
  take(client: string, masked: NonNullable<Answer['masked']>): void {
    this.checkMasked(client, masked)
    const { vectors, message } = masked
    this.#state = receive(this.#sizedFor(vectors), message, native())
    this.#layout = vectors
  }

  add(): void {
    throw new FedloraError(
      'E_PROTOCOL',
      'an open update in a federation whose updates are masked: nothing of it counts',
    )
  }

  /** Ends the last phase, and takes the masks off. */
  lacks(): string | undefined {
    if (this.phase === 'revealed') this.close()
    const round = this.#round
    if (round.phase === 'abandoned') return round.abandoned
    try {
      this.#result = unmask(round, native())
    } catch (error) {
      if (!(error instanceof FedloraError) || error.code !== 'E_PROTOCOL') throw error
      return this.#named(error)
    }
  }

  /** Why there is no sum, with clients by their names where their numbers say who is meant. */
  #named({ message, details }: FedloraError): string {
    const { client, from } = details as { client?: number; from?: readonly number[] }
    if (client === undefined || from === undefined) return message
    const suspects = from.map((one) => this.#names[one]).join(', ')
    return `the shares of client ${this.#names[client]} do not fit one another: one of ${suspects} gave a wrong one, and it cannot be told which`
  }

  mean(name: string): Float32Array | null {
    let begin = 0
    for (const [known, length] of this.#layout) {
      if (known !== name) begin += length
      else {
        if (this.#result === undefined) return null
        const choice = this.#choiceOf(name)
        const whole = choice?.length ?? length
        const before = this.#means.get(name)
        const mean = before?.length === whole ? before : new Float32Array(whole)
        this.#means.set(name, mean)
        const sent = this.#result.mean.subarray(begin, begin + length)
        if (choice === undefined) mean.set(sent)
        else {
          mean.fill(0)
          for (const [i, place] of choice.places.entries()) mean[place] = sent[i]!
        }
        return mean
      }
    }
    return null
  }

  dispose(): void {
    this.begin()
  }
}
