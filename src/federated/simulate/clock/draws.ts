/** Draws of a device's quantities: by the seed, the client's name and what is drawn. */
import type { Distribution } from '../../clock-options.js'
import { streamOf, uniforms } from '../../protocol/random.js'

/** Where a draw is made. */
export interface DrawPlace {
  seed: number
  client: string
  /** Name of the quantity. */
  what: string
  /** From 1; 0: what is drawn once. */
  round: number
}

/**
 * A number from `law`, by its inverse or by Box and Muller (1958), of u, v uniform in (0, 1):
 *
 *   uniform low + u·(high − low)    lognormal median·exp(σ·√(−2 ln u)·cos 2πv)    exponential −mean·ln u
 */
export function draw(law: Distribution, { seed, client, what, round }: DrawPlace): number {
  if (typeof law === 'number') return law
  const [first, v] = uniforms(seed, 'clock', round, streamOf(JSON.stringify([client, what])))
  // Half a step above the grid of 2⁻⁵³: never 0, so that no logarithm is infinite.
  const u = first + 2 ** -54
  if ('uniform' in law) {
    const [low, high] = law.uniform
    return low + u * (high - low)
  }
  if ('exponential' in law) return -law.exponential * Math.log(u)
  const [median, sigma] = law.lognormal
  return median * Math.exp(sigma * Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v))
}
