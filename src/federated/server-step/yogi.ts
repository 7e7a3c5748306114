/**
 * m = β₁·m + (1−β₁)·Δ      v = v − (1−β₂)·Δ²·sign(v − Δ²)      x += η·m / (√v + ε)
 *
 * Source: Reddi et al. 2021, "Adaptive federated optimization", algorithm 2 (FedYogi; v begins at ε² there).
 */
import { serverStep } from '../../aggregation/vectors.js'
import type { Rule } from './rule.js'

export const yogi: Rule = {
  moments: 2,
  learningRate: 0.01,
  apply(x, mean, moments, { learningRate, ...sizes }) {
    serverStep({ name: 'yogi', rate: learningRate, ...sizes }, x, mean, moments)
  },
}
