/** What travels to the clients in a round: encoded once for all clients of one space. */
import type { Chosen, ServerState, Turn, Vectors } from '../algorithms/algorithm.js'
import { placeReceived, receivedOf } from '../algorithms/defaults.js'
import { type DownloadConfig, sendsDeltas } from '../download-options.js'
import { fitRanks, gather, lengthOf, type Space, tensorsOf } from '../protocol/space.js'
import { decodeVector, encodeVector } from '../vector-message.js'
import { Deltas } from './deltas.js'

export interface Broadcast {
  /** Encoded, by name. */
  vectors: Record<string, Uint8Array>
  numbers: Record<string, number[]>
  /** The adapter as clients of this space receive it. */
  adapter: Float32Array
  /** Of all messages, as sent and as float32. */
  bytes: number
  raw: number
}

/** What is broadcast: a server's state. */
export interface Sender {
  readonly space: Space
  readonly state: ServerState
  /** The adapter that the federation began with, at the ranks of a space. */
  initialFor(space: Space): Float32Array
}

/** What clients can be sent: what a message needs to be made. */
interface Broadcasting {
  chosen: Chosen
  download: DownloadConfig
  seed: number
}

export class Broadcaster {
  readonly #by: Broadcasting
  readonly #messages = new Map<Space, Map<number | undefined, Broadcast>>()
  #deltas: Deltas | undefined
  readonly #restored: Readonly<Vectors>
  #round = 0

  /** @param restored - the vectors of a checkpoint. */
  constructor(by: Broadcasting, restored: Readonly<Vectors> = {}) {
    this.#by = by
    this.#restored = restored
  }

  /**
   * What a client of `space` gets in a round.
   * @param version - the round whose adapter it holds, 0: the one that the federation began with; undefined: none, it gets the whole.
   */
  send(server: Sender, space: Space, round: number, version?: number): Broadcast {
    if (round !== this.#round) this.#messages.clear()
    this.#round = round
    const bySpace = this.#messages.get(space) ?? new Map<number | undefined, Broadcast>()
    this.#messages.set(space, bySpace)
    const held = sendsDeltas(this.#by.download) ? version : undefined
    const broadcast = bySpace.get(held) ?? this.#encode(server, space, round, held)
    bySpace.set(held, broadcast)
    return broadcast
  }

  /** The round is over. */
  commit(round: number): void {
    this.#deltas?.commit(round)
  }

  /** For a checkpoint. */
  get kept(): Vectors {
    return this.#deltas?.kept ?? {}
  }

  /** The adapter's messages, and what clients make of them. */
  #adapter(server: Sender, part: Float32Array, turn: Turn, version: number | undefined) {
    const { download, seed, chosen } = this.#by
    if (part.length === 0) return { messages: {}, arrived: part }
    if (!sendsDeltas(download)) {
      const message = encodeVector(part, download.codec as 'f32' | 'bf16')
      return { messages: { adapter: message }, arrived: decodeVector(message) }
    }
    if (this.#deltas === undefined) {
      const ranges = receivedOf(chosen, turn)
      const initial = gather(server.initialFor(turn.space), ranges)
      this.#deltas = new Deltas(download, seed, { initial, tensors: tensorsOf(turn.space, ranges) }, this.#restored)
    }
    const step = this.#deltas.step(part, turn.round)
    return { messages: this.#deltas.messagesFrom(version, step), arrived: step.held }
  }

  #encode(server: Sender, space: Space, round: number, version: number | undefined): Broadcast {
    const { state } = server
    const { chosen } = this.#by
    const turn = { space, round }
    const { algorithm, options } = chosen
    const names = algorithm.sends?.(turn, options) ?? [...Object.keys(state.vectors), ...Object.keys(state.numbers)]
    const received = receivedOf(chosen, turn)
    const adapter =
      space === server.space ? state.vectors.adapter! : fitRanks(state.vectors.adapter!, server.space, space)
    const part = lengthOf(received) === space.length ? adapter : gather(adapter, received)
    const { messages, arrived } = this.#adapter(server, part, turn, version)
    const vectors: Record<string, Uint8Array> = { ...messages }
    let raw = part.byteLength
    for (const name of names) {
      const values = state.vectors[name]
      if (name === 'adapter' || values === undefined) continue
      vectors[name] = encodeVector(values, sendsDeltas(this.#by.download) ? 'f32' : (this.#by.download.codec as 'f32'))
      raw += values.byteLength
    }
    const bytes = Object.values(vectors).reduce((total, message) => total + message.length, 0)
    const numbers: Record<string, number[]> = {}
    for (const name of names) if (name in state.numbers) numbers[name] = [...state.numbers[name]!]
    const initial = server.initialFor(space)
    const given = algorithm.rebuild === undefined ? placeReceived(chosen, turn, initial, arrived) : adapter
    return { vectors, numbers, adapter: given, bytes, raw }
  }
}
