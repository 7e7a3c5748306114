/** The server's optimiser: a rule over one vector, and what it remembers between rounds. */
import { checkAlike, type Vector } from '../../aggregation/vectors.js'
import { FedloraError } from '../../errors.js'
import { lengthOf, type Ranges } from '../protocol/space.js'
import { rules, type ServerOptimizerOptions } from './options.js'
import type { Moments } from './rule.js'

export { type ServerOptimizerOptions, serverOptimizerSchema, serverRules } from './options.js'

/** What must survive a crash. */
export interface ServerOptimizerState<V extends Vector = Float32Array> extends Moments<V> {
  /** Steps taken. */
  steps: number
}

export interface ServerOptimizer<V extends Vector = Float32Array> {
  /**
   * Applies the mean update to these elements of `adapter` (default: all) in place; `mean` holds one after the other.
   * @param number - of the step, for one that is made of several calls over different elements. Default: the next.
   */
  step(adapter: V, mean: V, ranges?: Ranges, number?: number): void
  /** The live state, not a copy. */
  readonly state: ServerOptimizerState<V>
}

function sameLength(what: string, got: number, expected: number): void {
  if (got !== expected) {
    throw new FedloraError('E_SHAPE', `${what} has ${got} elements, expected ${expected}: that of the adapter`, {
      got,
      expected,
    })
  }
}

/**
 * A server optimiser over vectors like `model`, fresh or continued from `restored`.
 * @throws FedloraError `E_SHAPE` for moments of another length, or of a rule that keeps others.
 */
export function createOptimizer<V extends Vector>(
  options: ServerOptimizerOptions,
  model: V,
  restored?: Partial<ServerOptimizerState<V>>,
): ServerOptimizer<V> {
  const rule = rules[options.name]
  const sizes = { ...options, learningRate: options.learningRate ?? rule.learningRate }
  const { length } = model
  const make = (kept: boolean) => new (model.constructor as new (length: number) => V)(kept ? length : 0)
  const state = { moment1: make(rule.moments >= 1), moment2: make(rule.moments >= 2), steps: restored?.steps ?? 0 }
  if (restored === undefined) state.moment2.fill(options.initialSecondMoment)
  for (const name of ['moment1', 'moment2'] as const) {
    if (restored === undefined) break
    const values = restored[name] ?? make(false)
    sameLength(name, values.length, state[name].length)
    checkAlike(values, state[name], name)
    state[name].set(values)
  }
  return {
    state,
    step(adapter, mean, ranges = [[0, length]], number = state.steps + 1) {
      sameLength('adapter', adapter.length, length)
      sameLength('mean update', mean.length, lengthOf(ranges))
      state.steps = number
      let at = 0
      for (const [begin, end] of ranges) {
        const part = (values: V) => values.subarray(begin, end) as V
        const moments = { moment1: part(state.moment1), moment2: part(state.moment2) }
        rule.apply(part(adapter), mean.subarray(at, at + end - begin) as V, moments, sizes, number)
        at += end - begin
      }
    },
  }
}

/** A server optimiser over float32 vectors of `length` elements. */
export function createServerOptimizer(
  options: ServerOptimizerOptions,
  length: number,
  restored?: Partial<ServerOptimizerState>,
): ServerOptimizer {
  return createOptimizer(options, new Float32Array(length), restored)
}
