/**
 * Cumulants of composed losses, and where to look at them.
 *
 * K(λ) = Σ_parts steps · log Σ_i p_i e^{λ l_i}. Under masses tilted by e^{λl − K} the composed loss has mean K′(λ) and variance K″(λ): with
 * a λ whose mean is near ε, what decides δ(ε) is where the mass is, and rounding is relative to δ instead of to 1.
 */
import type { LossGrid } from './loss.js'

/** Equal steps on one grid. */
export interface Part {
  grid: LossGrid
  steps: number
}

export interface Cumulants {
  log: number
  mean: number
  variance: number
}

/** log(p_i e^{λ l_i}) at its greatest. */
export function greatest({ h, first, logs }: LossGrid, lambda: number): number {
  let most = Number.NEGATIVE_INFINITY
  for (let i = 0; i < logs.length; i++) most = Math.max(most, logs[i]! + lambda * h * (first + i))
  return most
}

/** One part's at λ, of one step. */
function ofStep(grid: LossGrid, lambda: number): Cumulants {
  const { h, first, logs } = grid
  const shift = greatest(grid, lambda)
  let sum = 0
  let moment1 = 0
  let moment2 = 0
  for (let i = 0; i < logs.length; i++) {
    const weight = Math.exp(logs[i]! + lambda * h * (first + i) - shift)
    sum += weight
    moment1 += weight * i
    moment2 += weight * i * i
  }
  const mean = moment1 / sum
  const variance = h * h * Math.max(0, moment2 / sum - mean * mean)
  return { log: Math.log(sum) + shift, mean: h * (first + mean), variance }
}

export function cumulants(parts: readonly Part[], lambda: number): Cumulants {
  const total = { log: 0, mean: 0, variance: 0 }
  for (const { grid, steps } of parts) {
    const { log, mean, variance } = ofStep(grid, lambda)
    total.log += steps * log
    total.mean += steps * mean
    total.variance += steps * variance
  }
  return total
}

/**
 * How far the tilted loss goes above its mean (`sign` 1) or below it (−1), but for the probability e^{−nats}: Chernoff's bound at the best of
 * some rates.
 */
export function reach(parts: readonly Part[], lambda: number, at: Cumulants, nats: number, sign: 1 | -1): number {
  const deviation = Math.sqrt(at.variance)
  let best = Number.POSITIVE_INFINITY
  const multiples = [0.5, 1, 2, 4, 8, 16].map((multiple) => multiple / deviation)
  for (const size of [0.5, 2, 8, lambda / 2, lambda, lambda + 1, ...multiples]) {
    const rate = sign * size
    if (rate === 0 || !Number.isFinite(rate)) continue
    const grown = cumulants(parts, lambda + rate).log - at.log
    best = Math.min(best, (grown + nats) / Math.abs(rate) - sign * at.mean)
  }
  return best
}
