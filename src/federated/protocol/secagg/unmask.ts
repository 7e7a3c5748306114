/**
 * The end of a secure aggregation: secrets are put together from their shares, and what they make is taken off the sum.
 *
 *   Σ y − Σ_{u survived} stream(b_u) − Σ_{v lost} (what v's masks left in its living peers)  =  Σ w·q | Σ w      mod 2^(8·wordBytes)
 */
import { FedloraError } from '../../../errors.js'
import { maskKeyOf, selfKeyOf } from './agreed.js'
import { sameBytes } from './bytes.js'
import type { MaskingEngine } from './engine.js'
import { agreementKeyOf } from './keys.js'
import { checkState, refuse } from './refuse.js'
import { type AggregationState, revealedOf, type Share } from './server.js'

/** What the sum came to. */
export interface Unmasked {
  /** Σ w·q, and Σ w where clients weigh differently: words as they were masked. */
  sum: Uint8Array
  /** Σ w, or the number of survivors. */
  weight: number
  /** The weighted mean of what was sent, to the step of the quantisation. */
  mean: Float64Array
  survivors: readonly number[]
  /** Those whose shares did not fit the others; the sum is right without them. */
  culprits: readonly number[]
}

function join(shares: readonly Share[], engine: MaskingEngine, place = 0): Uint8Array {
  const places = Uint8Array.from(shares, (share) => share.place)
  return engine.shamirJoin(places, Buffer.concat(shares.map(({ bytes }) => bytes)), place)
}

/** Whether all shares lie on one polynomial of the threshold's degree. */
function consistent(shares: readonly Share[], threshold: number, engine: MaskingEngine): boolean {
  const first = shares.slice(0, threshold)
  return shares.slice(threshold).every(({ place, bytes }) => sameBytes(join(first, engine, place), bytes))
}

/**
 * The secret of shares of which one may be wrong. More than the threshold show that one is; which, when without it the others fit.
 * @param fits - whether a secret is known to be the one.
 */
function recover(
  whose: number,
  shares: readonly Share[],
  threshold: number,
  engine: MaskingEngine,
  fits: (secret: Uint8Array) => boolean,
): { secret: Uint8Array; culprit?: number } {
  const tried = (some: readonly Share[]) => {
    const secret = join(some.slice(0, threshold), engine)
    return consistent(some, threshold, engine) && fits(secret) ? secret : undefined
  }
  const secret = tried(shares)
  if (secret !== undefined) return { secret }
  // Shares just enough fit one another always: without another witness it is not known who is wrong.
  const witness = shares.length > threshold + 1 || (shares.length > threshold && fits !== always)
  const found = (witness ? shares : []).flatMap(({ client }) => {
    const without = tried(shares.filter((share) => share.client !== client))
    return without === undefined ? [] : [{ secret: without, culprit: client }]
  })
  const [first, another] = found
  // Bits on which a public key does not depend: either secret does, and who has changed them is not known.
  if (first !== undefined) return another === undefined ? first : { secret: first.secret }
  const from = shares.map(({ client }) => client)
  throw refuse(
    `the shares of client ${whose} do not fit one another: one of clients ${from.join(', ')} gave a wrong one; the round is abandoned`,
    { client: whose, from },
  )
}

const always = () => true

/**
 * Takes the masks off, when enough was revealed. The state's sum stays as it is.
 * @throws FedloraError `E_PROTOCOL` when the round was abandoned or has not ended, or shares do not fit one another and nobody can say which.
 */
export function unmask(state: AggregationState, engine: MaskingEngine): Unmasked {
  checkState(state)
  const { setup, phase, graph, survivors, shares, keys } = state
  if (phase !== 'unmask') {
    const why = phase === 'abandoned' ? `was abandoned: ${state.abandoned}` : `is still at '${phase}'`
    throw refuse(`there is no sum, the round ${why}`, { phase })
  }
  const { threshold, wordBytes, length, clip, bits, mostWeight } = setup
  const culprits = new Set<number>()
  const found = (client: number, kind: 'seeds' | 'maskKeys', fits: (secret: Uint8Array) => boolean) => {
    const { secret, culprit } = recover(client, revealedOf(state, client, kind), threshold, engine, fits)
    if (culprit !== undefined) culprits.add(culprit)
    return secret
  }
  const [added, subtracted]: [Uint8Array[], Uint8Array[]] = [[], []]
  for (const client of survivors) subtracted.push(selfKeyOf(setup, found(client, 'seeds', always), client))
  for (const lost of Object.keys(shares).map(Number)) {
    const living = graph[lost]!.filter((peer) => survivors.includes(peer))
    if (survivors.includes(lost) || living.length === 0) continue
    const key = found(lost, 'maskKeys', (secret) => sameBytes(agreementKeyOf(secret), keys[lost]!.maskKey))
    // A living peer below has added the mask that the lost one would have subtracted.
    for (const peer of living)
      (peer < lost ? subtracted : added).push(maskKeyOf(setup, key, keys[peer]!.maskKey, lost, peer))
  }
  const sum = state.sum.slice()
  engine.addMasks(sum, wordBytes, Buffer.concat(added), Buffer.concat(subtracted))
  const weight =
    mostWeight === null ? survivors.length : Buffer.from(sum.buffer).readUIntLE(wordBytes * length, wordBytes)
  if (weight < survivors.length || weight > survivors.length * (mostWeight ?? 1)) {
    const message = `secure aggregation: the weights sum to ${weight}, expected ${survivors.length} to ${survivors.length * (mostWeight ?? 1)}: somebody sent words that are no masked vector`
    throw new FedloraError('E_PROTOCOL', message, { weight })
  }
  const mean = new Float64Array(length)
  engine.dequantizeMean(sum.subarray(0, wordBytes * length), mean, { clip, bits, wordBytes, total: weight })
  return { sum, weight, mean, survivors, culprits: [...culprits].sort((a, b) => a - b) }
}
