/** The learning rate of a round: constant within it, its schedule runs over the rounds. */
import { scheduleFactor } from '../training/schedule.js'
import type { FederationConfig } from './options.js'

/**
 * @param round - from 1.
 * @param peak - of whoever works: the federation's, or a client's own.
 */
export function rateOf({ rounds, local }: FederationConfig, round: number, peak: number): number {
  return peak * scheduleFactor(local.schedule, round - 1, { steps: rounds, warmup: 0, peak })
}
