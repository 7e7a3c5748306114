/** The updates of a round as one vector, by a rule: the door to `rules/` for whoever has a server of his own. */
import { describeValue } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import { native } from '../native/load.js'
import { Aggregator } from './aggregator.js'
import type { StreamRule, VectorRule } from './rule.js'
import { chooseVectorRule } from './rules/index.js'
import { updatesOf } from './update-set.js'
import { checkAlike, checkVector, combination, linearCombination, type Vector, zerosLike } from './vectors.js'

/** What a rule combines. */
export interface VectorUpdates {
  /** All Float32Array or all Float64Array, of one length. */
  updates: readonly (Float32Array | Float64Array)[]
  /** Numbers above 0, one an update, such as rows; they need not sum to 1. Default: all equal. */
  weights?: readonly number[]
  /** The rule's. */
  options?: object
}

export interface CombinedVectors {
  /** Of the updates' type. */
  value: Float32Array | Float64Array
  /** Places of the updates that the rule selected, when it selects. */
  selected?: number[]
}

function checkUpdates(updates: unknown): asserts updates is readonly Vector[] {
  if (!Array.isArray(updates) || updates.length === 0) {
    const got = describeValue(updates)
    throw new FedloraError('E_ARGUMENT', `combineVectors: updates: got ${got}, expected a list of at least one vector`)
  }
  checkVector(updates[0], 'combineVectors: updates[0]')
  for (const [k, update] of updates.entries()) checkAlike(update, updates[0], `combineVectors: updates[${k}]`)
}

function checkWeights(weights: unknown, count: number): asserts weights is readonly number[] {
  const numbers = Array.isArray(weights) && weights.every((w) => typeof w === 'number' && Number.isFinite(w) && w > 0)
  if (numbers && weights.length === count) return
  const expected = `${count} numbers above 0, one an update`
  throw new FedloraError('E_ARGUMENT', `combineVectors: weights: got ${describeValue(weights)}, expected ${expected}`)
}

function checkFinite(updates: readonly Vector[]): void {
  for (const [k, update] of updates.entries()) {
    const element = native().firstNonfinite(update)
    if (element < 0) continue
    const message = `combineVectors: updates[${k}]: element ${element} is ${update[element]}; only finite vectors can be combined`
    throw new FedloraError('E_NONFINITE', message, { update: k, element })
  }
}

/** Σ u_k·x_k / Σ u_k: exact in float32 (`Aggregator`), to twice the bits of a double in float64. */
function weightedMean(updates: readonly Vector[], weights: readonly number[]): Vector {
  if (updates[0] instanceof Float32Array) {
    using sum = new Aggregator(updates[0].length)
    sum.addAll(updates.map((vector, k) => ({ vector: vector as Float32Array, weight: weights[k]! })))
    return sum.mean()
  }
  checkFinite(updates)
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  return combination(weights, updates, total)
}

function stream(rule: StreamRule, updates: readonly Vector[], given: readonly number[], options: object) {
  const weights = given.map((weight, k) => rule.weigh(weight, k, options))
  const selected = weights.flatMap((weight, k) => (weight > 0 ? [k] : []))
  const chosen = <T>(list: readonly T[]) => selected.map((k) => list[k]!)
  const value = weightedMean(chosen(updates), chosen(weights))
  const factor = rule.factor?.(given, options) ?? 1
  if (factor !== 1) linearCombination([factor], [value], value)
  return selected.length < updates.length ? { value, selected } : { value }
}

/**
 * One vector of many: `mean` (or `fedavg`), `fednova`, `fedswa`; `krum`, `multikrum`, `median`, `trimmedmean`, `bulyan`, `geomedian`, `normbound`,
 * `fltrust`, which hold against some updates of anybody's making; or a rule of one's own. Weights count in `mean`, `fednova`, `multikrum`,
 * `geomedian` and `normbound`; of updates that are equally good the one at the lower place is taken.
 * @throws FedloraError `E_CONFIG` for an unknown rule (with the known ones) or option, `E_ARGUMENT`, `E_SHAPE`, `E_NONFINITE`.
 * @example
 * ```ts
 * const updates = [Float32Array.of(1, 2), Float32Array.of(3, 6)]
 * combineVectors('mean', { updates, weights: [3, 1] }).value // [1.5, 3]
 * combineVectors('fednova', { updates, options: { steps: [1, 2] } }).value // [1.875, 3.75]
 * const poisoned = [...updates, Float32Array.of(1e9, 1e9)]
 * combineVectors('median', { updates: poisoned }).value // [3, 6]
 * combineVectors('krum', { updates: poisoned, options: { f: 0 } }).selected // [0]
 * ```
 */
export function combineVectors(
  name: string | VectorRule,
  { updates, weights, options }: VectorUpdates,
): CombinedVectors {
  const { rule, options: chosen } = chooseVectorRule(name, options)
  checkUpdates(updates)
  const given = weights ?? updates.map(() => 1)
  checkWeights(given, updates.length)
  const lacking = rule.lacks?.(updates.length, chosen)
  if (lacking !== undefined) throw new FedloraError('E_ARGUMENT', `combineVectors: rule ${rule.name}: ${lacking}`)
  if (rule.needs === 'stream') return stream(rule, updates, given, chosen)
  checkFinite(updates)
  const value = zerosLike<Vector>(updates[0]!)
  return { value, ...rule.combine(updatesOf(updates), given, value, chosen) }
}
