/** Which evaluation was the best so far, and whether the run has waited long enough for a better one. */
import type { EvaluationResult } from '../evaluation/evaluate.js'

/** What is compared: the loss, the smaller the better, or the share of tokens predicted right, the larger the better. */
export const bestMetrics = ['loss', 'tokenAccuracy'] as const
export type BestMetric = (typeof bestMetrics)[number]

/** Part of a checkpoint, so that a resumed run stops where an unbroken one would. */
export interface BestSoFar {
  best: ({ step: number } & EvaluationResult) | null
  /** Evaluations since the best one. */
  sinceBest: number
}

/** True for an evaluation that is better than `best`; a value that is not finite never is. */
export function improves(metric: BestMetric, result: EvaluationResult, best: EvaluationResult | null): boolean {
  const value = result[metric]
  if (!Number.isFinite(value)) return false
  if (best === null) return true
  return metric === 'loss' ? value < best.loss : value > best.tokenAccuracy
}

/** The state after an evaluation at `step`. */
export function afterEvaluation(
  metric: BestMetric,
  state: BestSoFar,
  step: number,
  result: EvaluationResult,
): BestSoFar {
  if (improves(metric, result, state.best)) return { best: { step, ...result }, sinceBest: 0 }
  return { best: state.best, sinceBest: state.sinceBest + 1 }
}

/** True when `patience` evaluations in a row have brought nothing better; never without a patience. */
export function outOfPatience(state: BestSoFar, patience: number | undefined): boolean {
  return patience !== undefined && state.sinceBest >= patience
}
