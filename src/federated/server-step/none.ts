/** x += η·Δ: FedAvg where η = 1. */
import { linearCombination } from '../../aggregation/vectors.js'
import type { Rule } from './rule.js'

export const none: Rule = {
  moments: 0,
  learningRate: 1,
  apply(x, mean, _, { learningRate }) {
    linearCombination([1, learningRate], [x, mean], x)
  },
}
