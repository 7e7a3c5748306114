/**
 * What a rule of the server's step is: from the mean update Δ of a round to the next vector x, element by element. Each element is computed
 * in double and rounded once to the vectors' type; x is made from the moments as they are kept.
 */
import type { Vector } from '../../aggregation/vectors.js'

/** What must survive a crash; moments that a rule does not use are empty. */
export interface Moments<V extends Vector = Float32Array> {
  /** m */
  moment1: V
  /** v */
  moment2: V
}

export interface StepSizes {
  /** η */
  learningRate: number
  /** β₁ */
  beta1: number
  /** β₂ */
  beta2: number
  /** ε */
  epsilon: number
  /** Whether the rate makes up for moments that begin at 0. */
  biasCorrection: boolean
}

export interface Rule {
  /** Moments that it keeps. */
  readonly moments: 0 | 1 | 2
  /** η when none is given. */
  readonly learningRate: number
  /** Whether it has a bias correction. */
  readonly corrects?: boolean
  /**
   * Applies `mean` to `x` in place; all vectors have one length, those of unused moments none.
   * @param step - number of this step, from 1.
   */
  apply<V extends Vector>(x: V, mean: V, moments: Moments<V>, sizes: StepSizes, step: number): void
}
