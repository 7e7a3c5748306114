/**
 * The Gaussian mechanism without sampling, in closed form: steps with noise σ_j are one with sensitivity μ = √(Σ steps_j / σ_j²) over noise 1,
 *   δ(ε) = Φ(μ/2 − ε/μ) − e^ε Φ(−μ/2 − ε/μ).
 * Source: Balle and Wang 2018, "Improving the Gaussian mechanism for differential privacy", theorem 8.
 */
import { upperTail } from './normal.js'
import type { Spend } from './spend.js'

/** log P(X > x) also where the tail is below every double: by its asymptotic series. */
function logUpperTail(x: number): number {
  if (x < 30) return Math.log(upperTail(x))
  const square = x * x
  return -square / 2 - Math.log(x * Math.sqrt(2 * Math.PI)) + Math.log1p(-1 / square + 3 / (square * square))
}

function deltaOf(epsilon: number, mu: number): number {
  const first = upperTail(epsilon / mu - mu / 2)
  return first - Math.exp(epsilon + logUpperTail(epsilon / mu + mu / 2))
}

/** The least ε whose δ is not above the given one, from above: bisection. */
export function gaussianEpsilon(spends: readonly Spend[], delta: number): { epsilon: number; slack: number } {
  const mu = Math.sqrt(spends.reduce((sum, { steps, noiseMultiplier }) => sum + steps / noiseMultiplier ** 2, 0))
  if (mu === 0 || deltaOf(0, mu) <= delta) return { epsilon: 0, slack: 0 }
  let low = 0
  let high = 1
  while (deltaOf(high, mu) > delta) high *= 2
  for (let middle = high / 2; middle > low && middle < high; middle = (low + high) / 2) {
    if (deltaOf(middle, mu) > delta) low = middle
    else high = middle
  }
  const slack = 1e-9 * Math.max(1, high)
  return { epsilon: high + slack / 2, slack }
}
