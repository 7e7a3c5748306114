/** The server's step for whoever has a server of his own. */
import { checkAlike, checkVector, type Vector, type VectorType } from '../../aggregation/vectors.js'
import { FedloraError } from '../../errors.js'
import { chooseServerRule, rules, type ServerRule, type ServerStepOptions } from './options.js'
import { createOptimizer, type ServerOptimizer, type ServerOptimizerState } from './step.js'

/** What a server step remembers: vectors as long as the one that it steps, empty where the rule keeps none. */
export interface ServerStepState {
  /** First moment. */
  moment1: Float32Array | Float64Array
  /** Second moment. */
  moment2: Float32Array | Float64Array
  /** Steps taken: what a bias correction goes by. */
  steps: number
}

export interface ServerStep {
  /**
   * Applies the mean update of a round to `vector`, in place. Both are Float32Array (each element computed in double, then rounded once)
   * or both Float64Array.
   * @throws FedloraError `E_SHAPE` for other lengths than those of the first step, `E_ARGUMENT` for other types.
   */
  step(vector: Float32Array | Float64Array, mean: Float32Array | Float64Array): void
  /** The live state, to be kept and given to `createServerStep` again; empty before the first step. */
  readonly state: ServerStepState
}

/** Moments as they were kept, of the type and length of those that the rule needs. */
function lengthOfState(name: ServerRule, state: Partial<ServerStepState>): Vector | undefined {
  const kept = (['moment1', 'moment2'] as const).slice(0, rules[name].moments)
  for (const moment of kept) checkVector(state[moment], `server step ${name}: state.${moment}`)
  const steps = state.steps ?? 0
  if (!Number.isSafeInteger(steps) || steps < 0) {
    throw new FedloraError('E_ARGUMENT', `server step ${name}: state.steps is ${steps}, expected a whole number`)
  }
  return kept.length === 0 ? undefined : state.moment1
}

/**
 * A server optimiser: `none`, `momentum` (Hsu et al. 2019), `nesterov`, `adam`, `yogi` or `adagrad` (Reddi et al. 2021, algorithm 2).
 * @param state - of an earlier one, copied: it goes on bit for bit.
 * @throws FedloraError `E_CONFIG` for an unknown rule or option, `E_ARGUMENT` or `E_SHAPE` for a state that is none of the rule's.
 * @example
 * ```ts
 * const server = createServerStep('yogi', { learningRate: 0.01, initialSecondMoment: 1e-6 })
 * const vector = Float32Array.of(1, 2, 3)
 * server.step(vector, Float32Array.of(0.1, -0.1, 0)) // vector has moved; server.state is what to keep
 * ```
 */
export function createServerStep(
  name: ServerRule,
  options: ServerStepOptions = {},
  state?: Partial<ServerStepState>,
): ServerStep {
  const chosen = chooseServerRule(name, options)
  const kept = state && lengthOfState(name, state)
  const restored = state as Partial<ServerOptimizerState<Vector>> | undefined
  let optimizer: ServerOptimizer<Vector> | undefined = kept && createOptimizer<Vector>(chosen, kept, restored)
  let type: VectorType | undefined = kept
  return {
    get state() {
      return (
        optimizer?.state ?? { moment1: new Float32Array(0), moment2: new Float32Array(0), steps: state?.steps ?? 0 }
      )
    },
    step(vector, mean) {
      if (type === undefined) checkVector(vector, 'server step: the vector')
      else checkAlike(vector, type, 'server step: the vector')
      checkAlike(mean, vector, 'server step: the mean')
      type ??= { constructor: vector.constructor, length: vector.length }
      optimizer ??= createOptimizer<Vector>(chosen, vector, restored)
      optimizer.step(vector, mean)
    },
  }
}
