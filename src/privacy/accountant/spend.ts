/** What is accounted for. */

/** Steps of one kind: each is a sum over a Poisson sample, with Gaussian noise. */
export interface Spend {
  /** Probability that a record (or client) takes part in a step, in (0, 1]. */
  sampleRate: number
  /** Standard deviation of the noise over the sum's sensitivity; 0: no noise. */
  noiseMultiplier: number
  /** A whole number from 0. */
  steps: number
}
