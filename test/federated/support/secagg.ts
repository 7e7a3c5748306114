/** A secure aggregation in one place: clients and a server that say what the protocol has them say, and drop out where a test wants. */
import {
  type Entered,
  enter,
  type Masking,
  maskVector,
  type Revealed,
  revealShares,
  type Sharing,
  type Signing,
  type Step,
  shareSecrets,
  signSurvivors,
} from '../../../src/federated/protocol/secagg/client.js'
import { close } from '../../../src/federated/protocol/secagg/close.js'
import { identityOf } from '../../../src/federated/protocol/secagg/keys.js'
import type { FromClient, ToClient } from '../../../src/federated/protocol/secagg/messages.js'
import type { Secrets } from '../../../src/federated/protocol/secagg/secrets.js'
import {
  type AggregationState,
  openRound,
  receive,
  type ServerPhase,
} from '../../../src/federated/protocol/secagg/server.js'
import type { Setup } from '../../../src/federated/protocol/secagg/setup.js'
import type { Update } from '../../../src/federated/protocol/secagg/update.js'
import { native } from '../../../src/native/load.js'

export const engine = native()

type ClientState = Entered | Sharing | Masking | Signing | Revealed

export interface Member {
  identity: Uint8Array
  secrets?: Secrets
  update: Update
}

/** `length` bytes that are a function of a number. */
export const bytesAt = (seed: number, length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (Math.imul(seed * 31 + i + 1, 0x9e3779b1) >>> 13) & 255)

export const identityAt = (client: number): Uint8Array => bytesAt(client + 1, 32)

/** A setup of `clients`, everyone meets everyone, 32-bit words, weights up to 100. */
export function setupOf(clients: number, changes: Partial<Setup> = {}): Setup {
  return {
    run: bytesAt(1000, 16),
    round: bytesAt(2000, 16),
    identities: Array.from({ length: clients }, (_, client) => identityOf(identityAt(client))),
    neighbours: clients,
    threshold: Math.floor((clients - 1) / 2) + 1,
    length: 5,
    clip: 1,
    bits: 16,
    wordBytes: 4,
    mostWeight: 100,
    ...changes,
  }
}

export const phases = ['keys', 'shares', 'masked', 'signed', 'revealed'] as const

export class Round {
  server: AggregationState
  readonly said: FromClient[] = []
  readonly told: ToClient[] = []
  readonly clients: (ClientState | undefined)[]
  #messages: readonly ToClient[] = []

  constructor(
    readonly setup: Setup,
    readonly members: readonly Member[],
  ) {
    this.server = openRound(setup)
    this.clients = members.map(() => undefined)
  }

  /** The same round once more, from here on. */
  fork(): Round {
    const round = new Round(this.setup, this.members)
    round.server = { ...this.server, sum: this.server.sum.slice() }
    round.clients.splice(0, Number.POSITIVE_INFINITY, ...this.clients)
    round.#messages = this.#messages
    return round
  }

  /** What a client says in the open phase; its state goes on. */
  speak(client: number): FromClient {
    const { phase } = this.server
    const { identity, secrets, update } = this.members[client]!
    const state = this.clients[client]
    const heard = this.#messages.find((message) => message.client === client)
    const step: Step<ClientState, FromClient> =
      phase === 'keys'
        ? enter(this.setup, client, identity, secrets)
        : phase === 'shares'
          ? shareSecrets(state as Entered, heard, engine)
          : phase === 'masked'
            ? maskVector(state as Sharing, heard, update, engine)
            : phase === 'signed'
              ? signSurvivors(state as Masking, heard)
              : revealShares(state as Signing, heard)
    this.clients[client] = step.state
    this.said.push(step.message)
    return step.message
  }

  hear(message: unknown): void {
    this.server = receive(this.server, message, engine)
  }

  close(): void {
    const { state, messages } = close(this.server)
    this.server = state
    this.#messages = messages
    this.told.push(...messages)
  }

  /** What clients are told now. */
  get messages(): readonly ToClient[] {
    return this.#messages
  }

  /** Those who still take part. */
  get present(): number[] {
    return this.server.phase === 'keys'
      ? this.members.map((_, client) => client)
      : this.#messages.map(({ client }) => client)
  }

  /** Everybody says what is due, but for those who drop out. */
  phase(dropped: readonly number[] = [], change: (message: FromClient) => FromClient = (message) => message): void {
    for (const client of this.present) if (!dropped.includes(client)) this.hear(change(this.speak(client)))
    this.close()
  }

  /** All phases up to `last`; `dropped`: who is lost from a phase on. */
  run(dropped: Partial<Record<ServerPhase, readonly number[]>> = {}, last: ServerPhase = 'revealed'): this {
    for (const phase of phases) {
      if (this.server.phase !== phase) continue
      this.phase(dropped[phase])
      if (phase === last) return this
    }
    return this
  }
}
