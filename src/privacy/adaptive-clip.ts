/**
 * A clip norm that follows a quantile of the norms it clips: C ← C · exp(−η (b − γ)), b the noised fraction of norms *within* C.
 *
 * The count of those within is released too, with noise σ_b; counts are taken as ±1/2, so that its sensitivity is 1/2. Both together cost
 * what one sum with multiplier z costs when the updates' own is z_Δ = (z⁻² − (2σ_b)⁻²)^(−1/2).
 *
 * Source: Andrew, Thakkar, McMahan and Ramaswamy 2021, "Differentially private learning with adaptive clipping", algorithm 1, theorem 1.
 */
import { z } from 'zod'
import { describeValue } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import { parseOptions } from '../options/parse.js'

const schema = z.strictObject({
  clip: z.number().positive().describe('norm to begin with'),
  quantile: z.number().gt(0).lt(1).describe('share of the norms that should lie within the clip norm'),
  learningRate: z.number().positive().describe('how fast it follows, on a logarithmic scale'),
})

export interface AdaptiveClipInput {
  /** The norm to begin with, above 0. */
  clip: number
  /** Share of the norms that should lie within it, in (0, 1); 0.5 is the median. */
  quantile: number
  /** How fast it follows, above 0; 0.2 is the authors' choice. */
  learningRate: number
}

export interface AdaptiveClip {
  /** The norm to clip by now. */
  readonly clip: number
  /**
   * Moves the norm by the fraction of the last norms that were within it, noised or not: with noise it may lie outside [0, 1].
   * @returns The norm from now on.
   * @throws FedloraError `E_ARGUMENT` for a fraction that is not a finite number, or that would move the norm beyond all numbers.
   */
  update(fractionInside: number): number
}

/**
 * A clip norm that moves to a quantile of the norms.
 * @throws FedloraError `E_CONFIG` for parameters that are none.
 * @example
 * ```ts
 * const bound = adaptiveClip({ clip: 0.5, quantile: 0.5, learningRate: 0.2 })
 * bound.update(0) // none was within: the norm grows
 * console.log(bound.clip.toFixed(3)) // 0.553
 * ```
 */
export function adaptiveClip(input: AdaptiveClipInput): AdaptiveClip {
  const { quantile, learningRate, ...given } = parseOptions(schema, input, 'adaptiveClip')
  let { clip } = given
  return {
    get clip() {
      return clip
    },
    update(fractionInside) {
      const moved =
        typeof fractionInside === 'number' ? clip * Math.exp(-learningRate * (fractionInside - quantile)) : Number.NaN
      if (!(moved > 0 && moved < Number.POSITIVE_INFINITY)) {
        const message = `adaptiveClip: fractionInside: got ${describeValue(fractionInside)} with the clip norm at ${clip}, expected a finite number, about 0 to 1`
        throw new FedloraError('E_ARGUMENT', message, { clip })
      }
      clip = moved
      return clip
    },
  }
}
