/** What a private run has spent so far, and whether there is something left. */
import { epsilonAfter, type PrivacyPlan } from './privacy-options.js'
import type { KeySource } from './private-steps.js'

/** Pieces of a run after each of which ε is computed anew: a tight one takes a moment. */
const pieces = 32

/** What a run's result says of its privacy. */
export interface Spent {
  /** Infinity without noise (null in JSON). */
  epsilon: number
  delta: number
  /** Steps that count: more than the run's where it was resumed from before its last. */
  steps: number
  noiseMultiplier: number
  /** Probability with which a row was drawn for a step. */
  sampleRate: number
  accountant: 'rdp' | 'pld'
}

export class Spending {
  readonly #plan: PrivacyPlan
  readonly #source: KeySource
  readonly #pieceSteps: number
  readonly #last: number
  readonly #known = new Map<number, number>()
  /** Steps of an earlier process that a resumed run has not done, or does again with other noise. */
  #ahead = 0
  #least = 0

  constructor(plan: PrivacyPlan, source: KeySource, totalSteps: number) {
    this.#plan = plan
    this.#source = source
    this.#pieceSteps = Math.max(1, Math.ceil(totalSteps / pieces))
    this.#last = Math.min(totalSteps, plan.mostSteps)
  }

  /** The run goes on at `step`, while `spent` steps may have been seen. Seeded steps that are done again show nothing new. */
  resume(step: number, spent: number): void {
    if (this.#source === 'seeded') this.#least = spent
    else this.#ahead = Math.max(0, spent - step)
  }

  /** Steps that count when the run has done `step`. */
  stepsAt(step: number): number {
    return Math.max(step + this.#ahead, this.#least)
  }

  /** Whether the budget has room for the step after `step`. */
  lasts(step: number): boolean {
    return this.stepsAt(step + 1) <= this.#plan.mostSteps
  }

  #epsilon(steps: number): number {
    const known = this.#known.get(steps)
    if (known !== undefined) return known
    const epsilon = epsilonAfter(this.#plan, steps)
    this.#known.set(steps, epsilon)
    return epsilon
  }

  /** ε of all steps up to `step`, or a little more: that of the end of the piece in which they end. */
  epsilonAt(step: number): number {
    const steps = this.stepsAt(step)
    const end = Math.ceil(steps / this.#pieceSteps) * this.#pieceSteps
    return this.#epsilon(Math.max(steps, Math.min(end, this.#last)))
  }

  /** The spend when the run has done `step`. */
  at(step: number): Spent {
    const { delta, noiseMultiplier, sampleRate, accountant } = this.#plan
    const steps = this.stepsAt(step)
    return { epsilon: this.#epsilon(steps), delta, steps, noiseMultiplier, sampleRate, accountant }
  }
}
