/**
 * m = β₁·m + (1−β₁)·Δ      v = v + Δ²      x += η·m / (√v + ε)
 *
 * Source: Reddi et al. 2021, "Adaptive federated optimization", algorithm 2 (FedAdagrad; v begins at ε² there, and β₁ may be 0).
 */
import { serverStep } from '../../aggregation/vectors.js'
import type { Rule } from './rule.js'

export const adagrad: Rule = {
  moments: 2,
  learningRate: 0.01,
  apply(x, mean, moments, { learningRate, ...sizes }) {
    serverStep({ name: 'adagrad', rate: learningRate, ...sizes }, x, mean, moments)
  },
}
