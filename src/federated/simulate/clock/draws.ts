/** Draws of a device's quantities: by the seed, the client's name and what is drawn; for each round anew where the options say so. */
import type { Distribution } from '../../clock-options.js'
import { streamOf, uniforms } from '../../protocol/random.js'

/** Where a draw is made. */
export interface DrawPlace {
  seed: number
  client: string
  /** Name of the quantity. */
  what: string
  /** From 1. */
  round: number
}

/**
 * A number from `law`, by its inverse or by Box and Muller (1958), of u, v uniform in (0, 1):
 *
 *   uniform low + u·(high − low)    lognormal median·exp(σ·√(−2 ln u)·cos 2πv)    exponential −mean·ln u
 */
export function draw(law: Distribution, { seed, client, what, round }: DrawPlace): number {
  if (typeof law === 'number') return law
  const counter = streamOf(JSON.stringify([client, what]))
  const [first, v] = uniforms(seed, 'clock', law.drawn === 'round' ? round : 0, counter)
  // Half a step above the grid of 2⁻⁵³: never 0, so that no logarithm is infinite.
  const u = first + 2 ** -54
  switch (law.law) {
    case 'uniform':
      return law.low + u * (law.high - law.low)
    case 'lognormal':
      return law.median * Math.exp(law.sigma * Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v))
    case 'exponential':
      return -law.mean * Math.log(u)
  }
}
