/**
 * Draws of a federation, addressed by (seed, purpose, round, client). No state: a round that is run again after a crash
 * draws the same cohort, the same absences and the same seeds, whatever ran before it. Clients are addressed by name: where they
 * stand in a list changes nothing.
 */
import { createHash } from 'node:crypto'
import { philox } from '../../random/random.js'

/** Two purposes never share a draw; the numbers lie above those of the data room, which uses the same seeds. */
const purposes = {
  cohort: 16,
  absence: 17,
  training: 18,
  encoding: 19,
  baseline: 21,
  personal: 22,
  directions: 23,
  adapter: 27,
  download: 28,
  choice: 30,
  clock: 40,
  tier: 41,
  attack: 44,
} as const

export type Purpose = keyof typeof purposes

/** The counter of a name's draws: the first 48 bits of its SHA-256. */
export function streamOf(name: string): number {
  return createHash('sha256').update(name).digest().readUIntBE(0, 6)
}

function words(seed: number, purpose: Purpose, round: number, counter: number): Uint32Array {
  return philox(seed, (BigInt(purposes[purpose]) << 32n) | BigInt(round), counter)
}

const unit = (high: number, low: number) => ((high >>> 6) * 0x8000000 + (low >>> 5)) / 0x20000000000000

/** Two numbers in [0, 1) with 53 random bits each; the first is that of `uniform`. */
export function uniforms(seed: number, purpose: Purpose, round: number, counter = 0): [number, number] {
  const [a, b, c, d] = words(seed, purpose, round, counter)
  return [unit(a!, b!), unit(c!, d!)]
}

/** A number in [0, 1) with 53 random bits. */
export function uniform(seed: number, purpose: Purpose, round: number, counter = 0): number {
  return uniforms(seed, purpose, round, counter)[0]
}

/** A seed of its own for one purpose, below 2⁴⁸ so that every consumer holds it exactly. */
export function deriveSeed(seed: number, purpose: Purpose, round: number, counter = 0): number {
  const [low, high] = words(seed, purpose, round, counter)
  return (high! >>> 16) * 0x100000000 + low!
}
