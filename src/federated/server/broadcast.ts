/** How the adapter travels to the clients. */
import { native } from '../../native/load.js'
import type { FederationConfig } from '../options.js'
import { encodeVector } from '../vector-message.js'

export interface Broadcast {
  /** The adapter as clients receive it. */
  adapter: Float32Array
  /** Of one such message. */
  bytes: number
}

/** The adapter in a message to each client. What float32 carries is the adapter itself, and its length depends on nothing else. */
export class Broadcaster {
  readonly #codec: FederationConfig['download']['codec']
  #plainBytes: number | undefined

  constructor(codec: FederationConfig['download']['codec']) {
    this.#codec = codec
  }

  send(adapter: Float32Array): Broadcast {
    if (this.#codec === 'f32') {
      this.#plainBytes ??= encodeVector(adapter, this.#codec).length
      return { adapter, bytes: this.#plainBytes }
    }
    const message = encodeVector(adapter, this.#codec)
    return { adapter: native().decodeUpdate(message), bytes: message.length }
  }
}
