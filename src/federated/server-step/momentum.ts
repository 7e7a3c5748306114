/**
 * m = β₁·m + Δ      x += η·m
 *
 * Source: Hsu, Qi, Brown 2019, "Measuring the effects of non-identical data distribution for federated visual classification" (FedAvgM).
 */
import type { Rule } from './rule.js'

export const momentum: Rule = {
  moments: 1,
  learningRate: 1,
  apply(x, mean, { moment1 }, { learningRate, beta1 }) {
    for (let i = 0; i < x.length; i++) {
      moment1[i] = beta1 * moment1[i]! + mean[i]!
      x[i] = x[i]! + learningRate * moment1[i]!
    }
  },
}
