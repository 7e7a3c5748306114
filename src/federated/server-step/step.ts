/** The server's step: a rule over the flat vector of the adapter, with its options and what it remembers between rounds. */
import { z } from 'zod'
import { FedloraError } from '../../errors.js'
import { lengthOf, type Ranges } from '../protocol/space.js'
import { adam } from './adam.js'
import { momentum } from './momentum.js'
import { none } from './none.js'
import type { Moments } from './rule.js'

const rules = { none, momentum, adam }
export const serverRules = Object.keys(rules) as (keyof typeof rules)[]

const share = z.number().min(0).lt(1)

export const serverOptimizerSchema = z.strictObject({
  name: z.enum(serverRules).default('none').describe('rule by which the mean update is applied'),
  learningRate: z.number().positive().optional().describe('η: factor on the step; default 1, for adam 0.01'),
  beta1: share.default(0.9).describe('decay of the first moment (momentum, adam)'),
  beta2: share.default(0.99).describe('decay of the second moment (adam)'),
  epsilon: z.number().positive().default(1e-3).describe('added to √v (adam): how adaptive the step is'),
})

export type ServerOptimizerOptions = z.output<typeof serverOptimizerSchema>
export type ServerOptimizerState = Moments

export interface ServerOptimizer {
  /** Applies the mean update to these elements of `adapter` (default: all) in place; `mean` holds one after the other. */
  step(adapter: Float32Array, mean: Float32Array, ranges?: Ranges): void
  /** The live state, not a copy. */
  readonly state: ServerOptimizerState
}

function sameLength(what: string, got: number, expected: number): void {
  if (got !== expected) {
    throw new FedloraError('E_SHAPE', `${what} has ${got} elements, expected ${expected}: that of the adapter`, {
      got,
      expected,
    })
  }
}

/** A server optimiser over vectors of `length` elements, fresh or continued from `restored`. */
export function createServerOptimizer(
  options: ServerOptimizerOptions,
  length: number,
  restored?: ServerOptimizerState,
): ServerOptimizer {
  const rule = rules[options.name]
  const sizes = { ...options, learningRate: options.learningRate ?? rule.learningRate }
  const state = {
    moment1: new Float32Array(rule.moments >= 1 ? length : 0),
    moment2: new Float32Array(rule.moments >= 2 ? length : 0),
  }
  for (const name of ['moment1', 'moment2'] as const) {
    if (restored === undefined) break
    sameLength(name, restored[name].length, state[name].length)
    state[name].set(restored[name])
  }
  return {
    state,
    step(adapter, mean, ranges = [[0, length]]) {
      sameLength('adapter', adapter.length, length)
      sameLength('mean update', mean.length, lengthOf(ranges))
      let at = 0
      for (const [begin, end] of ranges) {
        const part = (values: Float32Array) => values.subarray(begin, end)
        const moments = { moment1: part(state.moment1), moment2: part(state.moment2) }
        rule.apply(part(adapter), mean.subarray(at, at + end - begin), moments, sizes)
        at += end - begin
      }
    },
  }
}
