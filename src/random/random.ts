/**
 * Seeded draws for everything the data room shuffles or splits: Philox4x32-10 (the same function as `native/base/philox.h`),
 * permutations by (seed, epoch), gamma and Dirichlet samples.
 *
 * Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"; Marsaglia and Tsang 2000, "A simple method for
 * generating gamma variables".
 */

import { FedloraError } from '../errors.js'

/** Purposes of one seed: the high word of the stream, so that no two uses ever read the same draws. */
export const randomStreams = { shuffle: 1, split: 2, clients: 3 } as const

const two32 = 4294967296

/** The high 32 bits of a 32 × 32 bit product, from 16-bit halves so that every intermediate stays exact. */
function multiplyHigh(a: number, b: number): number {
  const a1 = a >>> 16
  const a0 = a & 0xffff
  const b1 = b >>> 16
  const b0 = b & 0xffff
  const middle = a1 * b0 + ((a0 * b0) >>> 16)
  return (a1 * b1 + Math.floor((a0 * b1 + middle) / 65536)) >>> 0
}

/** Ten rounds over the words of a counter (low two) and a stream (high two), in place. */
function philoxRounds(words: Uint32Array, keyLow: number, keyHigh: number): void {
  let c0 = words[0]!
  let c1 = words[1]!
  let c2 = words[2]!
  let c3 = words[3]!
  let k0 = keyLow
  let k1 = keyHigh
  for (let round = 0; round < 10; ++round) {
    const n0 = (multiplyHigh(0xcd9e8d57, c2) ^ c1 ^ k0) >>> 0
    const n2 = (multiplyHigh(0xd2511f53, c0) ^ c3 ^ k1) >>> 0
    c1 = Math.imul(0xcd9e8d57, c2) >>> 0
    c3 = Math.imul(0xd2511f53, c0) >>> 0
    c0 = n0
    c2 = n2
    k0 = (k0 + 0x9e3779b9) >>> 0
    k1 = (k1 + 0xbb67ae85) >>> 0
  }
  words[0] = c0
  words[1] = c1
  words[2] = c2
  words[3] = c3
}

function halves(value: number | bigint, name: string): [number, number] {
  if (typeof value === 'bigint') return [Number(value & 0xffffffffn), Number((value >> 32n) & 0xffffffffn)]
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new FedloraError('E_ARGUMENT', `${name}: got ${value}, expected an integer from 0 to 2^53 - 1`, {
      field: name,
    })
  }
  return [value >>> 0, Math.floor(value / two32)]
}

/** The four 32-bit words of draw `counter` under `key` and `stream`: a pure function. 64-bit values may be given as bigint. */
export function philox(key: number | bigint, stream: number | bigint, counter: number | bigint): Uint32Array {
  const words = Uint32Array.of(...halves(counter, 'counter'), ...halves(stream, 'stream'))
  philoxRounds(words, ...halves(key, 'key'))
  return words
}

/** Draws in sequence from one (seed, purpose, index) stream. Two instances of the same three numbers give the same draws. */
export class Random {
  readonly #key: [number, number]
  readonly #stream: [number, number]
  #counter = 0
  readonly #words = new Uint32Array(4)
  #next = 4

  constructor(seed: number, purpose: number, index = 0) {
    this.#key = halves(seed, 'seed')
    this.#stream = halves((BigInt(purpose) << 32n) | BigInt(index), 'stream')
  }

  /** Uniform over the 2^32 words. */
  word(): number {
    if (this.#next === 4) {
      this.#words[0] = this.#counter >>> 0
      this.#words[1] = Math.floor(this.#counter / two32)
      this.#words[2] = this.#stream[0]
      this.#words[3] = this.#stream[1]
      this.#counter++
      philoxRounds(this.#words, this.#key[0], this.#key[1])
      this.#next = 0
    }
    return this.#words[this.#next++]!
  }

  /** Uniform in [0, 1), 53 bits. */
  uniform(): number {
    const high = this.word() >>> 5
    const low = this.word() >>> 6
    return (high * 67108864 + low) / 9007199254740992
  }

  /** Uniform integer in [0, limit), without bias: words past the last whole multiple of `limit` are drawn again. */
  below(limit: number): number {
    const end = two32 - (two32 % limit)
    let word = this.word()
    while (word >= end) word = this.word()
    return word % limit
  }

  /** Standard normal (Box–Muller, one of the pair). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()))
    return radius * Math.cos(2 * Math.PI * this.uniform())
  }

  /**
   * A Gamma(shape, 1) draw as a logarithm in two parts, `sum` and `power`: log x = sum + power / shape. Kept apart, shapes so small that
   * the whole is beyond any number can still be compared.
   */
  #logGammaParts(shape: number): { sum: number; power: number } {
    if (!(shape > 0 && shape < Number.POSITIVE_INFINITY)) {
      throw new FedloraError('E_ARGUMENT', `shape of a gamma draw: got ${shape}, expected a finite number above 0`)
    }
    if (shape < 1) return { sum: this.#logGammaParts(shape + 1).sum, power: Math.log(1 - this.uniform()) }
    const d = shape - 1 / 3
    const c = 1 / Math.sqrt(9 * d)
    for (;;) {
      const x = this.normal()
      const v = (1 + c * x) ** 3
      if (v > 0 && Math.log(1 - this.uniform()) < 0.5 * x * x + d - d * v + d * Math.log(v)) {
        return { sum: Math.log(d * v), power: 0 }
      }
    }
  }

  /** The logarithm of a Gamma(shape, 1) draw; as a logarithm, tiny shapes do not underflow to zero. */
  logGamma(shape: number): number {
    const { sum, power } = this.#logGammaParts(shape)
    return power === 0 ? sum : sum + power / shape
  }

  /** A Gamma(shape, 1) draw. */
  gamma(shape: number): number {
    return Math.exp(this.logGamma(shape))
  }

  /** Shares that sum to 1, from the symmetric Dirichlet distribution with concentration `alpha` over `count` parts. */
  dirichlet(alpha: number, count: number): Float64Array {
    const parts = Array.from({ length: count }, () => this.#logGammaParts(alpha))
    const logs = parts.map(({ sum, power }) => (power === 0 ? sum : sum + power / alpha))
    const largest = logs.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY)
    const finite = largest > Number.NEGATIVE_INFINITY
    // Where every logarithm is −∞, the largest is that of the largest power: differences of powers are exact enough to compare.
    const top = parts.reduce((best, part) => (part.power > best.power ? part : best))
    const distance = (i: number) =>
      finite ? logs[i]! - largest : parts[i]!.sum - top.sum + (parts[i]!.power - top.power) / alpha
    const shares = Float64Array.from(logs, (_, i) => Math.exp(distance(i)))
    const total = shares.reduce((sum, value) => sum + value, 0)
    return shares.map((value) => value / total)
  }

  /** Shuffles in place (Fisher–Yates) and returns the same array. */
  shuffle<A extends number[] | Int32Array>(values: A): A {
    for (let i = values.length - 1; i > 0; --i) {
      const j = this.below(i + 1)
      const held = values[i]!
      values[i] = values[j]!
      values[j] = held
    }
    return values
  }
}

/** The order in which `count` rows are visited in `epoch` (from 0): a pure function of its three arguments. */
export function permutation(count: number, seed: number, epoch: number): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => i)
  return new Random(seed, randomStreams.shuffle, epoch).shuffle(order)
}
