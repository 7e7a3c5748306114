/** What a rule of the server's step is: from the mean update Δ of a round to the next adapter x, element by element. */

/** What must survive a crash; moments a rule does not use are empty. */
export interface Moments {
  moment1: Float32Array
  moment2: Float32Array
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
}

/** State and result are float32; each element is computed in double and rounded once. */
export interface Rule {
  /** Moments that it keeps. */
  readonly moments: 0 | 1 | 2
  /** η when none is given. */
  readonly learningRate: number
  /** Applies `mean` to `x` in place; all arrays have the adapter's length, those of unused moments none. */
  apply(x: Float32Array, mean: Float32Array, moments: Moments, sizes: StepSizes): void
}
