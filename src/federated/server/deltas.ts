/**
 * Compressed downloads: a round's message carries, encoded, what the server's vector v has more than what the clients hold,
 *
 *   m_r = encode(v_r − h_{r−1})      h_r = h_{r−1} + decode(m_r)      h_0: what the federation began with
 *
 * so that what one message leaves out goes with the next (error feedback on the server), and everyone who takes part starts from the same
 * h_r. A client that holds h_q is sent m_{q+1} … m_r, or h_r whole (float32) where that is shorter; messages that only longer ways would
 * need are forgotten, so what is kept is never larger than one whole vector.
 *
 * Source: Tang et al. 2019, "DoubleSqueeze: parallel stochastic gradient descent with double-pass error-compensated compression".
 */
import { native } from '../../native/load.js'
import type { Vectors } from '../algorithms/algorithm.js'
import { difference, sum } from '../algorithms/vectors.js'
import type { DownloadConfig } from '../download-options.js'
import { encodingOf } from '../encoding.js'
import { deltaName } from '../protocol/messages.js'
import { deriveSeed } from '../protocol/random.js'
import type { TravellingTensor } from '../protocol/space.js'
import { decodeVector, encodeVector } from '../vector-message.js'

/** Names among the vectors of a checkpoint: h, and the messages by round. */
const heldName = 'download.held'
const messagePrefix = 'download.message-'

/** A message as a vector, which is what checkpoints hold: its length, then two bytes a value. */
function packed(message: Uint8Array): Float32Array {
  const values = new Float32Array(2 + Math.ceil(message.length / 2))
  values[0] = message.length >>> 16
  values[1] = message.length & 0xffff
  for (let i = 0; i < message.length; i++) values[2 + (i >> 1)]! += message[i]! * (i & 1 ? 256 : 1)
  return values
}

function unpacked(values: Float32Array): Uint8Array {
  const message = new Uint8Array(values[0]! * 65536 + values[1]!)
  for (let i = 0; i < message.length; i++) message[i] = (values[2 + (i >> 1)]! >> (i & 1 ? 8 : 0)) & 0xff
  return message
}

/** Of one round: what clients hold after it, its message, and h whole. */
interface Step {
  round: number
  held: Float32Array
  message: Uint8Array
  whole: Uint8Array
}

interface Beginning {
  /** h_0, which every client can make itself. */
  initial: Float32Array
  /** Of which it is. */
  tensors: readonly TravellingTensor[]
}

export class Deltas {
  readonly #codec: DownloadConfig
  readonly #tensors: readonly TravellingTensor[]
  readonly #seed: number
  /** h after the last committed round, and the messages that led to it, by round, the last contiguous ones. */
  #held: Float32Array
  #messages: Map<number, Uint8Array>
  /** Of the round under way, or the last committed one. */
  #step: Step | undefined

  /**
   * @param restored - the vectors of a checkpoint.
   */
  constructor(codec: DownloadConfig, seed: number, { initial, tensors }: Beginning, restored: Readonly<Vectors> = {}) {
    this.#codec = codec
    this.#tensors = tensors
    this.#seed = seed
    this.#held = restored[heldName] ?? initial
    const rounds = Object.keys(restored).flatMap((name) =>
      name.startsWith(messagePrefix) ? [Number(name.slice(messagePrefix.length))] : [],
    )
    rounds.sort((a, b) => a - b)
    this.#messages = new Map(rounds.map((round) => [round, unpacked(restored[messagePrefix + round]!)]))
  }

  /** Whether a vector of a checkpoint is of this file. */
  static owns(name: string): boolean {
    return name === heldName || name.startsWith(messagePrefix)
  }

  /** For a checkpoint, as of the last committed round. */
  get kept(): Vectors {
    const messages = [...this.#messages].map(([round, message]) => [messagePrefix + round, packed(message)] as const)
    return { [heldName]: this.#held, ...Object.fromEntries(messages) }
  }

  /** The round's message, made once, and what clients hold after it. */
  step(values: Float32Array, round: number): Step {
    if (this.#step?.round === round) return this.#step
    const seed = deriveSeed(this.#seed, 'download', round)
    const options = { ...encodingOf(this.#codec, values.length, this.#tensors), seed, choiceSeed: seed }
    const message = native().encodeUpdate(difference(values, this.#held), null, options).bytes
    const held = sum(this.#held, decodeVector(message))
    this.#step = { round, held, message, whole: encodeVector(held) }
    return this.#step
  }

  /**
   * What a client that holds h of round `version` is sent, by name.
   * @param version - undefined: it holds nothing.
   */
  messagesFrom(version: number | undefined, { round, message, whole }: Step): Record<string, Uint8Array> {
    if (version === undefined) return { adapter: whole }
    const chain: Record<string, Uint8Array> = {}
    let bytes = 0
    for (let at = version + 1; at <= round; at++) {
      const one = at === round ? message : this.#messages.get(at)
      if (one === undefined) return { adapter: whole }
      chain[deltaName(at)] = one
      bytes += one.length
    }
    return bytes < whole.length ? chain : { adapter: whole }
  }

  /** The round is over: its message has reached those who took part. */
  commit(round: number): void {
    if (this.#step?.round !== round) return
    const { held, message } = this.#step
    this.#messages.set(round, message)
    this.#held = held
    let bytes = 0
    for (const at of [...this.#messages.keys()].reverse()) {
      bytes += this.#messages.get(at)!.length
      if (bytes > 4 * held.length) this.#messages.delete(at)
    }
  }
}
