/**
 * The server's step: from the mean update Δ of a round to the next adapter x, element by element over the flat vector.
 *
 *   none       x += η·Δ
 *   momentum   m = β₁·m + Δ                                   x += η·m
 *   adam       m = β₁·m + (1−β₁)·Δ    v = β₂·v + (1−β₂)·Δ²    x += η·m / (√v + ε)
 *
 * State and result are float32; each element is computed in double and rounded once.
 * Source: Reddi et al. 2021, "Adaptive federated optimization", algorithm 2 (FedAvgM and FedAdam, without bias correction).
 */
import { z } from 'zod'
import { FedloraError } from '../../errors.js'

const share = z.number().min(0).lt(1)

export const serverOptimizerSchema = z.strictObject({
  name: z.enum(['none', 'momentum', 'adam']).default('none').describe('rule by which the mean update is applied'),
  learningRate: z.number().positive().optional().describe('η: factor on the step; default 1, for adam 0.01'),
  beta1: share.default(0.9).describe('decay of the first moment (momentum, adam)'),
  beta2: share.default(0.99).describe('decay of the second moment (adam)'),
  epsilon: z.number().positive().default(1e-3).describe('added to √v (adam): how adaptive the step is'),
})

export type ServerOptimizerOptions = z.output<typeof serverOptimizerSchema>

/** What must survive a crash; moments a rule does not use are empty. */
export interface ServerOptimizerState {
  moment1: Float32Array
  moment2: Float32Array
}

export interface ServerOptimizer {
  /** Applies the mean update to `adapter` in place. */
  step(adapter: Float32Array, mean: Float32Array): void
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
  const { name, beta1, beta2, epsilon } = options
  const learningRate = options.learningRate ?? (name === 'adam' ? 0.01 : 1)
  const moment1 = new Float32Array(name === 'none' ? 0 : length)
  const moment2 = new Float32Array(name === 'adam' ? length : 0)
  if (restored) {
    sameLength('moment1', restored.moment1.length, moment1.length)
    sameLength('moment2', restored.moment2.length, moment2.length)
    moment1.set(restored.moment1)
    moment2.set(restored.moment2)
  }
  const rules = {
    none(x: Float32Array, mean: Float32Array) {
      for (let i = 0; i < length; i++) x[i] = x[i]! + learningRate * mean[i]!
    },
    momentum(x: Float32Array, mean: Float32Array) {
      for (let i = 0; i < length; i++) {
        moment1[i] = beta1 * moment1[i]! + mean[i]!
        x[i] = x[i]! + learningRate * moment1[i]!
      }
    },
    adam(x: Float32Array, mean: Float32Array) {
      for (let i = 0; i < length; i++) {
        const delta = mean[i]!
        moment1[i] = beta1 * moment1[i]! + (1 - beta1) * delta
        moment2[i] = beta2 * moment2[i]! + (1 - beta2) * delta * delta
        x[i] = x[i]! + (learningRate * moment1[i]!) / (Math.sqrt(moment2[i]!) + epsilon)
      }
    },
  }
  return {
    state: { moment1, moment2 },
    step(adapter, mean) {
      sameLength('adapter', adapter.length, length)
      sameLength('mean update', mean.length, length)
      rules[name](adapter, mean)
    },
  }
}
