/**
 * Rényi differential privacy of the Poisson-sampled Gaussian mechanism, and its conversion to (ε, δ).
 *
 * One step: a record is in it with probability q, the sum has sensitivity 1 and gets noise N(0, σ²). Its likelihood ratio at x ~ N(0, σ²)
 * is m(x) = 1 + q (e^{(2x−1)/2σ²} − 1), and RDP(α) = log E[m^α] / (α − 1) bounds both adding and removing a record.
 * As E[m] = 1, E[m^α] = 1 + E[m^α − 1 − α(m − 1)], whose integrand is never negative: no digits are lost where there is little to spend.
 *   whole α:  E[m^α] − 1 = Σ_{k=2..α} C(α, k) (1−q)^{α−k} q^k (e^{k(k−1)/2σ²} − 1)
 *   others:   trapezoid rule on the line, which converges exponentially
 *   ε(δ) = min_α  Σ RDP(α) + log((α−1)/α) − (log δ + log α)/(α − 1),  not below 0
 *
 * Source: Mironov, Talwar and Zhang 2019, "Rényi differential privacy of the sampled Gaussian mechanism"; Canonne, Kamath and Steinke
 * 2020, "The discrete Gaussian for differential privacy" (the conversion).
 */
import type { Spend } from './spend.js'

/** 1.1, 1.2, … 10.9, then 12, 13, … 63. */
export const orders: readonly number[] = [
  ...Array.from({ length: 99 }, (_, i) => 1 + (i + 1) / 10),
  ...Array.from({ length: 52 }, (_, i) => i + 12),
]

/** log(e^a + e^b). */
const logAdd = (a: number, b: number) => {
  const most = Math.max(a, b)
  return most === Number.NEGATIVE_INFINITY ? most : most + Math.log1p(Math.exp(Math.min(a, b) - most))
}

/** log(e^x − 1), x > 0. */
const logExpm1 = (x: number) => (x > 30 ? x + Math.log1p(-Math.exp(-x)) : Math.log(Math.expm1(x)))

/** log(m^α − 1 − α(m − 1)) where log m = l; −∞ at l = 0. */
function logExcess(l: number, order: number): number {
  const power = order * l
  if (power > 30) return power + Math.log1p((order - 1) * Math.exp(-power) - order * Math.exp(l - power))
  if (Math.abs(power) > 0.03 || Math.abs(l) > 0.03) return Math.log(Math.expm1(power) - order * Math.expm1(l))
  // Σ_{k≥2} (α^k − α) l^k / k!
  let sum = 0
  let factor = 1
  let high = 1
  for (let k = 1; k <= 8; k++) {
    factor *= l / k
    high *= order
    sum += (high - order) * factor
  }
  return Math.log(sum)
}

/** log(E[m^α] − 1) for a whole order. */
function logSumWhole(q: number, sigma: number, order: number): number {
  let sum = Number.NEGATIVE_INFINITY
  let logBinomial = Math.log(order)
  for (let k = 2; k <= order; k++) {
    logBinomial += Math.log((order - k + 1) / k)
    const logTerm = logBinomial + (order - k) * Math.log1p(-q) + k * Math.log(q)
    sum = logAdd(sum, logTerm + logExpm1((k * (k - 1)) / (2 * sigma * sigma)))
  }
  return sum
}

/** log m(x), where y = (2x − 1) / 2σ². */
const logRatio = (q: number, y: number) =>
  y > 30 ? logAdd(Math.log1p(-q), Math.log(q) + y) : Math.log1p(q * Math.expm1(y))

/**
 * log E[m^α − 1 − α(m − 1)] by the trapezoid rule from 13 σ below the first bump of the integrand to 13 σ above the last. With little noise
 * the bump at x = α is all there is: q^α e^{α(α−1)/2σ²}.
 */
function logSumAny(q: number, sigma: number, order: number): number {
  if (sigma < 0.04) return order * Math.log(q) + (order * (order - 1)) / (2 * sigma * sigma)
  const step = sigma / 8
  const variance = sigma * sigma
  const count = Math.ceil((order + 26 * sigma) / step)
  let most = Number.NEGATIVE_INFINITY
  let sum = 0
  for (let i = 0; i <= count; i++) {
    const x = -13 * sigma + i * step
    const value = logExcess(logRatio(q, (2 * x - 1) / (2 * variance)), order) - (x * x) / (2 * variance)
    if (value > most) {
      sum = sum * Math.exp(most - value) + 1
      most = value
    } else if (value > most - 50) sum += Math.exp(value - most)
  }
  return most + Math.log((sum * step) / (sigma * Math.sqrt(2 * Math.PI)))
}

/** RDP of one step at an order above 1. */
export function rdpOfStep({ sampleRate: q, noiseMultiplier: sigma }: Omit<Spend, 'steps'>, order: number): number {
  if (q === 1) return order / (2 * sigma * sigma)
  const excess = Number.isInteger(order) ? logSumWhole(q, sigma, order) : logSumAny(q, sigma, order)
  return (excess > 30 ? logAdd(0, excess) : Math.log1p(Math.exp(excess))) / (order - 1)
}

/** ε of a sum of RDP at one order. */
const convert = (rdp: number, order: number, delta: number) =>
  rdp + Math.log1p(-1 / order) - (Math.log(delta) + Math.log(order)) / (order - 1)

/** The least ε over the orders, and the order that gives it. */
export function rdpEpsilon(spends: readonly Spend[], delta: number): { epsilon: number; order: number } {
  let best = { epsilon: Number.POSITIVE_INFINITY, order: orders[0]! }
  for (const order of orders) {
    const rdp = spends.reduce((sum, spend) => sum + spend.steps * rdpOfStep(spend, order), 0)
    const epsilon = convert(rdp, order, delta)
    if (epsilon < best.epsilon) best = { epsilon, order }
  }
  return { epsilon: Math.max(0, best.epsilon), order: best.order }
}
