/** The optimiser of a session. */
import type { OptimizerOptions } from '../native/binding.js'

/** AdamW as PyTorch has it by default, without weight decay. */
export const adamw: OptimizerOptions = {
  kind: 'adamw',
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
  momentum: 0,
}

interface Recipe extends Pick<OptimizerOptions, 'epsilon' | 'weightDecay' | 'momentum'> {
  optimizer: OptimizerOptions['kind']
  betas: readonly [number, number]
}

/** The optimiser that a run's options ask for. */
export function optimizerOf({ optimizer, betas, epsilon, weightDecay, momentum }: Recipe): OptimizerOptions {
  return { kind: optimizer, beta1: betas[0], beta2: betas[1], epsilon, weightDecay, momentum }
}
