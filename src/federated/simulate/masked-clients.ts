/**
 * The clients' half of a secure aggregation, as a simulation has it: all clients of a round in one place, saying what the protocol has each say.
 *
 * Keys and shares travel before the clients train, masked vectors with their answers, and the rest after them. Masks are drawn, and cancel in the
 * sum to the last bit: no result depends on them. What a result depends on is made from the seed, the round and the client's name.
 */
import { createHash, randomBytes } from 'node:crypto'
import { native } from '../../native/load.js'
import type { Vectors } from '../algorithms/algorithm.js'
import { maskUpdate } from '../client/mask-update.js'
import type { RoundEvent } from '../events.js'
import type { Answer } from '../protocol/messages.js'
import {
  type Entered,
  enter,
  type Masking,
  revealShares,
  type Sharing,
  type Signing,
  shareSecrets,
  signSurvivors,
} from '../protocol/secagg/client.js'
import { identityOf } from '../protocol/secagg/keys.js'
import type { FromClient, ToClient } from '../protocol/secagg/messages.js'
import type { ServerPhase } from '../protocol/secagg/server.js'
import type { Terms } from '../secure-aggregation-options.js'
import type { MaskedSum } from '../server/masked-sum.js'

type State = Entered | Sharing | Masking | Signing

/** 16 bytes that name a run, or a round of it: who meets whom follows from them. */
const nameOf = (...parts: readonly unknown[]) =>
  new Uint8Array(createHash('sha256').update(JSON.stringify(parts)).digest().subarray(0, 16))

/** What is said in a round, in order. */
export const phases: readonly ServerPhase[] = ['keys', 'shares', 'masked', 'signed', 'revealed']

export class MaskedClients {
  readonly #server: MaskedSum
  readonly #terms: Terms
  readonly #seed: number
  #round = 0
  #names: string[] = []
  #states: (State | undefined)[] = []
  #told = new Map<number, ToClient>()
  #lostAt: (client: string) => ServerPhase | undefined = () => undefined

  constructor(server: MaskedSum, terms: Terms, seed: number) {
    this.#server = server
    this.#terms = terms
    this.#seed = seed
  }

  /** What the round came to: clients in the sum, and bytes of the protocol beside the masked vectors. */
  get report(): NonNullable<RoundEvent['secureAggregation']> {
    return this.#server.report
  }

  /**
   * A round begins: its clients draw keys, and share their secrets.
   * @param lostAt - in which phase a client is lost; undefined: in none.
   * @returns those who go on to train.
   */
  begin(round: number, clients: readonly string[], lostAt: (client: string) => ServerPhase | undefined): string[] {
    this.#round = round
    this.#names = [...clients].sort()
    this.#states = []
    this.#told = new Map()
    this.#lostAt = lostAt
    const keys = this.#names.map(() => new Uint8Array(randomBytes(32)))
    const at = { run: nameOf('run', this.#seed), round: nameOf('round', this.#seed, round) }
    const setup = { ...this.#terms, ...at, identities: keys.map(identityOf) }
    this.#server.open(setup, this.#names)
    for (const client of this.#speakers('keys', keys.keys())) {
      const { state, message } = enter({ ...setup, length: 1 }, client, keys[client]!)
      this.#say(client, state, message)
    }
    this.#close()
    for (const client of this.#speakers('shares')) {
      const { state, message } = shareSecrets(this.#states[client] as Entered, this.#told.get(client), native())
      this.#say(client, state, message)
    }
    this.#close()
    return [...this.#speakers('masked')].map((client) => this.#names[client]!)
  }

  /** Masks what a client sends, by a whole weight. */
  mask(client: string, vectors: Readonly<Vectors>, weight: number): NonNullable<Answer['masked']> {
    const number = this.#names.indexOf(client)
    const about = { client, round: this.#round, seed: this.#seed }
    const { masked, state } = maskUpdate(
      this.#states[number] as Sharing,
      this.#told.get(number),
      about,
      vectors,
      weight,
    )
    this.#states[number] = state
    return masked
  }

  /** All who answer have answered: survivors are signed, and shares given. */
  end(): void {
    if (this.#server.phase !== 'masked') return
    this.#close()
    for (const client of this.#speakers('signed')) {
      const { state, message } = signSurvivors(this.#states[client] as Masking, this.#told.get(client))
      this.#say(client, state, message)
    }
    this.#close()
    for (const client of this.#speakers('revealed')) {
      const { message } = revealShares(this.#states[client] as Signing, this.#told.get(client))
      this.#say(client, undefined, message)
    }
  }

  /** Those who were told something and are not lost by now; nobody in a round that was abandoned. */
  *#speakers(phase: ServerPhase, told: Iterable<number> = [...this.#told.keys()]): Generator<number> {
    if (this.#server.phase !== phase) return
    for (const client of told) {
      const lost = this.#lostAt(this.#names[client]!)
      if (lost === undefined || phases.indexOf(lost) > phases.indexOf(phase)) yield client
    }
  }

  #say(client: number, state: State | undefined, message: FromClient): void {
    this.#states[client] = state
    this.#server.hear(this.#names[client]!, message)
  }

  #close(): void {
    if (this.#server.phase === 'abandoned') return
    const messages = this.#server.close()
    this.#told = new Map(messages.map((message) => [message.client, message]))
  }
}
