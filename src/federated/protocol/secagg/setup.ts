/** What all who take part in a secure aggregation know before it begins, and who meets whom in it. Plain data. */
import { createHash } from 'node:crypto'
import { describeValue } from '../../../errors/describe.js'
import { FedloraError } from '../../../errors.js'
import { Random } from '../../../random/random.js'
import { isBytes, tagged } from './bytes.js'

/** Draws of the circle of neighbours: the high word of a Philox stream. */
const neighbourStream = 26

export interface Setup {
  /** 16 random bytes each. */
  readonly run: Uint8Array
  readonly round: Uint8Array
  /** Ed25519 public keys, 32 bytes each; the place of a key is its client's number. */
  readonly identities: readonly Uint8Array[]
  /** Peers that a client shares masks and secrets with: everyone from n − 1 on, else an even number. */
  readonly neighbours: number
  /** Shares that give a secret back: more than half of the neighbours. A round in which somebody has fewer neighbours left is abandoned. */
  readonly threshold: number
  /** Values of an update. */
  readonly length: number
  /** Values are clipped to ±clip, and quantised to 2^bits steps. */
  readonly clip: number
  readonly bits: number
  /** Of a masked word; sums are taken mod 2^(8·wordBytes). */
  readonly wordBytes: 2 | 4
  /** The greatest whole weight of a client; null: all weigh the same, and none is sent. */
  readonly mostWeight: number | null
}

/** Peers of a client, as many as there are or asked for. */
const degreeOf = ({ identities, neighbours }: Pick<Setup, 'identities' | 'neighbours'>): number =>
  Math.min(neighbours, identities.length - 1)

/** Words of a masked vector: the values, and the weight. */
export const wordsOf = ({ length, mostWeight }: Pick<Setup, 'length' | 'mostWeight'>): number =>
  length + (mostWeight === null ? 0 : 1)

/** The greatest sum of weights that cannot overflow a masked word. */
export const roomOf = ({ bits, wordBytes }: Pick<Setup, 'bits' | 'wordBytes'>): number =>
  Math.floor((2 ** (8 * wordBytes) - 1) / (2 ** bits - 1))

const whole = (value: number, least: number, most: number) => Number.isInteger(value) && value >= least && value <= most

/** What is wrong with numbers of a setup; undefined: nothing. */
export function fault(setup: Omit<Setup, 'run' | 'round' | 'identities'>, clients: number): string | undefined {
  const { neighbours, threshold, length, clip, bits, wordBytes, mostWeight } = setup
  if (!whole(clients, 2, 2 ** 20)) return `${clients} clients, expected 2 to 2^20: the sum of one is his own update`
  const degree = Math.min(neighbours, clients - 1)
  if (!whole(neighbours, 1, 2 ** 20)) return `neighbours is ${neighbours}, expected a whole number from 1`
  if (degree < clients - 1 && degree % 2 !== 0)
    return `neighbours is ${degree}, expected an even number or ${clients - 1}: half of them stand on either side`
  if (degree > 255)
    return `${degree} neighbours, expected at most 255, which is how many shares a secret can have; give neighbours`
  if (!Number.isInteger(threshold) || threshold * 2 <= degree || threshold > degree) {
    return `threshold is ${threshold}, expected more than half of the ${degree} neighbours of a client, and at most all of them`
  }
  if (!whole(length, 1, 2 ** 33)) return `updates of ${length} values, expected 1 to 2^33`
  if (!(clip > 0 && Number.isFinite(2 * clip))) return `clip is ${clip}, expected a finite number above 0`
  if (!whole(bits, 1, 24)) return `bits is ${bits}, expected a whole number from 1 to 24`
  if (wordBytes !== 2 && wordBytes !== 4) return `words of ${wordBytes} bytes, expected 2 or 4`
  if (mostWeight !== null && !whole(mostWeight, 1, 2 ** 32))
    return `a weight of up to ${mostWeight}, expected a whole number from 1`
  const sum = clients * (mostWeight ?? 1)
  const room = roomOf(setup)
  if (sum > room) {
    return `weights of up to ${sum} in sum at ${bits} bits, expected at most ${room}, or a word of ${8 * wordBytes} bits would overflow; take fewer bits${wordBytes === 2 ? ', or words of 32' : ", or weighting 'uniform'"}`
  }
}

/** @throws FedloraError `E_ARGUMENT` for a setup that could not work, or would keep no secret. */
export function checkSetup(setup: Setup): void {
  if (typeof setup !== 'object' || setup === null) {
    throw new FedloraError('E_ARGUMENT', `secure aggregation: got ${describeValue(setup)}, expected a setup`)
  }
  const { run, round, identities } = setup
  const wrong =
    !isBytes(run, 16) || !isBytes(round, 16)
      ? 'run and round are 16 bytes each'
      : !Array.isArray(identities) || !identities.every((key) => isBytes(key, 32))
        ? 'identities are public keys of 32 bytes'
        : new Set(identities.map((key) => Buffer.from(key).toString('hex'))).size < identities.length
          ? 'two clients have the same identity'
          : fault(setup, identities.length)
  if (wrong !== undefined) throw new FedloraError('E_ARGUMENT', `secure aggregation: ${wrong}`)
}

/**
 * Peers of every client, ascending. With fewer neighbours than others all stand on a circle, in an order that nobody chose: each meets the
 * k/2 before and the k/2 after it (Bell et al. 2020, "Secure single-server aggregation with (poly)logarithmic overhead").
 */
export function neighboursOf(setup: Setup): readonly (readonly number[])[] {
  const clients = setup.identities.length
  const degree = degreeOf(setup)
  const all = Array.from({ length: clients }, (_, client) => client)
  if (degree === clients - 1) return all.map((client) => all.filter((peer) => peer !== client))
  const seed = createHash('sha256').update(tagged('fl/graph/v1', setup)).digest().readUIntLE(0, 6)
  const circle = new Random(seed, neighbourStream).shuffle([...all])
  const peers: number[][] = all.map(() => [])
  for (const [place, client] of circle.entries()) {
    for (let step = 1; step <= degree / 2; step++) {
      peers[client]!.push(circle[(place + step) % clients]!, circle[(place + clients - step) % clients]!)
    }
  }
  return peers.map((list) => list.sort((a, b) => a - b))
}

/** A state of the same round in which updates have so many values: nothing of keys and shares depends on it. */
export function sized<S extends { readonly setup: Setup; readonly sum?: Uint8Array }>(state: S, length: number): S {
  const setup = { ...state.setup, length }
  const sum = state.sum && { sum: new Uint8Array(setup.wordBytes * wordsOf(setup)) }
  return { ...state, setup, ...sum }
}
