/**
 * m = β₁·m + (1−β₁)·Δ      v = β₂·v + (1−β₂)·Δ²      x += η·m / (√v + ε)
 *
 * Source: Reddi et al. 2021, "Adaptive federated optimization", algorithm 2 (FedAdam, without bias correction).
 */
import type { Rule } from './rule.js'

export const adam: Rule = {
  moments: 2,
  learningRate: 0.01,
  apply(x, mean, { moment1, moment2 }, { learningRate, beta1, beta2, epsilon }) {
    for (let i = 0; i < x.length; i++) {
      const delta = mean[i]!
      moment1[i] = beta1 * moment1[i]! + (1 - beta1) * delta
      moment2[i] = beta2 * moment2[i]! + (1 - beta2) * delta * delta
      x[i] = x[i]! + (learningRate * moment1[i]!) / (Math.sqrt(moment2[i]!) + epsilon)
    }
  },
}
