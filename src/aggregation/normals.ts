/**
 * Random directions by seed, never stored: z(seed) has independent standard normals, each a function of seed and place alone (Philox and
 * Box–Muller, `native/vectors/normals.h`), the same bits on every machine. Whoever has seeds and factors rebuilds what was done with them.
 */
import { setImmediate } from 'node:timers/promises'
import { describeValue } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import { native } from '../native/load.js'
import type { Ranges } from './vectors.js'

/** Stream of Philox that directions are drawn from: purpose 25 of a seed. */
export const directionStream = 25 * 2 ** 32

/** Values times seeds of one slice of a long sum: some tens of milliseconds. */
const slice = 2 ** 26

/** Elements that a slice is a multiple of: enough tiles for every thread. */
const grain = 2 ** 15

function checkDirections(seeds: ArrayLike<number>, scales: ArrayLike<number>): void {
  if (seeds.length !== scales.length) {
    throw new FedloraError('E_ARGUMENT', `directions: got ${scales.length} scales for ${seeds.length} seeds`)
  }
  const wrong = Array.from(seeds).find((seed) => !Number.isSafeInteger(seed) || seed < 0)
  if (wrong === undefined) return
  throw new FedloraError(
    'E_ARGUMENT',
    `directions: got the seed ${describeValue(wrong)}, expected a whole number from 0`,
  )
}

/**
 * vector += Σ_j scales_j · z(seeds_j), in place; the sum is computed in double in the order given, and added and rounded once. Works in
 * slices, so that the event loop stays free; leave the vector alone until it has ended.
 * @param ranges - parts that change; z does not depend on them. Default: the whole.
 * @throws FedloraError `E_ARGUMENT`, `E_NONFINITE` for a scale that is not finite.
 */
export async function addDirections(
  vector: Float32Array,
  seeds: ArrayLike<number>,
  scales: ArrayLike<number>,
  ranges: Ranges = [[0, vector.length]],
): Promise<void> {
  checkDirections(seeds, scales)
  const factors = Float64Array.from(scales)
  const keys = Float64Array.from(seeds)
  const step = Math.max(1, Math.floor(slice / Math.max(1, keys.length) / grain)) * grain
  const add = (parts: Ranges) =>
    native().addNormals(vector, keys, factors, directionStream, Float64Array.from(parts.flat()))
  add(ranges.map(([begin]) => [begin, begin])) // whatever is wrong shows before anything changes
  for (const [first, end] of ranges) {
    for (let begin = first; begin < end; begin += step) {
      add([[begin, Math.min(begin + step, end)]])
      await setImmediate()
    }
  }
}
