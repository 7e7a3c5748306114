/**
 * m = β₁·m + Δ      x += η·m
 *
 * Source: Hsu, Qi, Brown 2019, "Measuring the effects of non-identical data distribution for federated visual classification" (FedAvgM).
 */
import { serverStep } from '../../aggregation/vectors.js'
import type { Rule } from './rule.js'

export const momentum: Rule = {
  moments: 1,
  learningRate: 1,
  apply(x, mean, moments, { learningRate, ...sizes }) {
    serverStep({ name: 'momentum', rate: learningRate, ...sizes }, x, mean, moments)
  },
}
