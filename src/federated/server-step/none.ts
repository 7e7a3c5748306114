/** x += η·Δ: FedAvg where η = 1. */
import type { Rule } from './rule.js'

export const none: Rule = {
  moments: 0,
  learningRate: 1,
  apply(x, mean, _, { learningRate }) {
    for (let i = 0; i < x.length; i++) x[i] = x[i]! + learningRate * mean[i]!
  },
}
