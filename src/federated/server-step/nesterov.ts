/**
 * m = β₁·m + Δ      x += η·(Δ + β₁·m)
 *
 * Source: Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning", at the point looked ahead to
 * (Bengio et al. 2013, "Advances in optimizing recurrent networks", equation 7); with β₁ = 0 it is `none`.
 */
import { serverStep } from '../../aggregation/vectors.js'
import type { Rule } from './rule.js'

export const nesterov: Rule = {
  moments: 1,
  learningRate: 1,
  apply(x, mean, moments, { learningRate, ...sizes }) {
    serverStep({ name: 'nesterov', rate: learningRate, ...sizes }, x, mean, moments)
  },
}
