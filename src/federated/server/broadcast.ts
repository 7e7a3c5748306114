/** What travels to the clients in a round: encoded once for all clients of one space. */
import type { Chosen, ServerState, Vectors } from '../algorithms/algorithm.js'
import { placeReceived, receivedOf } from '../algorithms/defaults.js'
import { fitRanks, gather, lengthOf, type Space } from '../protocol/space.js'
import { decodeVector, encodeVector } from '../vector-message.js'

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

export class Broadcaster {
  readonly #chosen: Chosen
  readonly #codec: 'f32' | 'bf16'
  readonly #bySpace = new Map<Space, Broadcast>()
  #round = 0

  constructor(chosen: Chosen, codec: 'f32' | 'bf16') {
    this.#chosen = chosen
    this.#codec = codec
  }

  /** What a client of `space` gets in a round. */
  send(server: Sender, space: Space, round: number): Broadcast {
    if (round !== this.#round) this.#bySpace.clear()
    this.#round = round
    let broadcast = this.#bySpace.get(space)
    if (broadcast === undefined) {
      broadcast = this.#encode(server, space, round)
      this.#bySpace.set(space, broadcast)
    }
    return broadcast
  }

  #encode(server: Sender, space: Space, round: number): Broadcast {
    const { state } = server
    const turn = { space, round }
    const { algorithm, options } = this.#chosen
    const names = algorithm.sends?.(turn, options) ?? [...Object.keys(state.vectors), ...Object.keys(state.numbers)]
    const received = receivedOf(this.#chosen, turn)
    const adapter =
      space === server.space ? state.vectors.adapter! : fitRanks(state.vectors.adapter!, server.space, space)
    const part = lengthOf(received) === space.length ? adapter : gather(adapter, received)
    const plain: Vectors = part.length === 0 ? {} : { adapter: part }
    for (const name of names) if (name !== 'adapter' && name in state.vectors) plain[name] = state.vectors[name]!
    const vectors: Record<string, Uint8Array> = {}
    let bytes = 0
    let raw = 0
    for (const [name, values] of Object.entries(plain)) {
      vectors[name] = encodeVector(values, this.#codec)
      bytes += vectors[name].length
      raw += values.byteLength
    }
    const numbers: Record<string, number[]> = {}
    for (const name of names) if (name in state.numbers) numbers[name] = [...state.numbers[name]!]
    const initial = server.initialFor(space)
    const arrived = vectors.adapter === undefined ? part : decodeVector(vectors.adapter)
    const given = algorithm.rebuild === undefined ? placeReceived(this.#chosen, turn, initial, arrived) : adapter
    return { vectors, numbers, adapter: given, bytes, raw }
  }
}
