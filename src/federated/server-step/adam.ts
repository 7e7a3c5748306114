/**
 * m = β₁·m + (1−β₁)·Δ      v = β₂·v + (1−β₂)·Δ²      x += η·m / (√v + ε)
 *
 * with bias correction at step t:      η·√(1−β₂ᵗ) / (1−β₁ᵗ) instead of η
 *
 * Source: Reddi et al. 2021, "Adaptive federated optimization", algorithm 2 (FedAdam, without bias correction; v begins at ε² there).
 * The correction: Kingma and Ba 2015, "Adam: a method for stochastic optimization", end of section 2.
 */
import { serverStep } from '../../aggregation/vectors.js'
import type { Rule } from './rule.js'

export const adam: Rule = {
  moments: 2,
  learningRate: 0.01,
  corrects: true,
  apply(x, mean, moments, { learningRate, biasCorrection, ...sizes }, step) {
    const { beta1, beta2 } = sizes
    const correction = biasCorrection ? Math.sqrt(1 - beta2 ** step) / (1 - beta1 ** step) : 1
    serverStep({ name: 'adam', rate: learningRate * correction, ...sizes }, x, mean, moments)
  },
}
