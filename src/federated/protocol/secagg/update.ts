/** An update as whole numbers that add up. */
import { randomBytes } from 'node:crypto'
import { FedloraError } from '../../../errors.js'
import { le32 } from './bytes.js'
import type { MaskingEngine } from './engine.js'
import { type Setup, wordsOf } from './setup.js'

/** High word of the streams that quantisation rounds by. */
const quantiseStream = 24

/** What a client sends in a round. */
export interface Update {
  values: Float32Array
  /** A whole number, up to the setup's; left out when all weigh the same. */
  weight?: number
  /** Of the roundings, below 2^53; drawn when left out. */
  seed?: number
}

/** @throws FedloraError `E_SHAPE`, `E_ARGUMENT`. */
export function checkUpdate({ length, mostWeight }: Setup, client: number, update: Update): void {
  const { values, weight, seed } = Object(update) as Update
  const wrong = (code: 'E_SHAPE' | 'E_ARGUMENT', text: string) =>
    new FedloraError(code, `secure aggregation: client ${client}: ${text}`, { client })
  if (!(values instanceof Float32Array)) throw wrong('E_ARGUMENT', 'the update is no Float32Array')
  if (values.length !== length) throw wrong('E_SHAPE', `an update of ${values.length} values, expected ${length}`)
  if (
    mostWeight === null
      ? weight !== undefined && weight !== 1
      : !(Number.isInteger(weight) && weight! >= 1 && weight! <= mostWeight)
  ) {
    throw wrong(
      'E_ARGUMENT',
      `a weight of ${weight}, expected ${mostWeight === null ? 'none: all weigh the same' : `a whole number from 1 to ${mostWeight}`}`,
    )
  }
  if (seed !== undefined && !(Number.isSafeInteger(seed) && seed >= 0))
    throw wrong('E_ARGUMENT', `a seed of ${seed}, expected a whole number from 0 to 2^53 − 1`)
}

/** The words that are summed: w·q_i, and w where clients weigh differently. */
export function wordsFor(
  setup: Setup,
  client: number,
  { values, weight = 1, seed }: Update,
  engine: MaskingEngine,
): Uint8Array {
  const { length, clip, bits, wordBytes, mostWeight } = setup
  const words = new Uint8Array(wordBytes * wordsOf(setup))
  const rounding = { seed: seed ?? randomBytes(6).readUIntLE(0, 6), stream: quantiseStream * 2 ** 32 + client }
  engine.quantizeWeighted(values, words.subarray(0, wordBytes * length), { clip, bits, wordBytes, weight, ...rounding })
  if (mostWeight !== null) words.set(le32(weight).subarray(0, wordBytes), wordBytes * length)
  return words
}
