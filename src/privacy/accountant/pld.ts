/**
 * Tight (ε, δ) by privacy loss distributions, from above.
 *
 * The greater of what adding and removing a record can show. The grid is as fine as its own excess asks: at order α = λ + 1 it is about
 * steps · α h² / 12. The same losses on a grid twice as coarse have four times that excess, so that the difference of both is three times
 * what the answer may be too high.
 *
 * Source: Koskela, Jälkö and Honkela 2020, "Computing tight differential privacy guarantees using FFT"; for steps that take in every
 * record, whose loss is normal, Balle and Wang 2018, "Improving the Gaussian mechanism for differential privacy".
 */
import { composedEpsilon } from './compose.js'
import { gaussianEpsilon } from './gaussian.js'
import { coarser, lossGrid, type Neighbour, totalVariation } from './loss.js'
import { rdpOfStep } from './rdp.js'
import type { Spend } from './spend.js'
import type { Part } from './tilt.js'

/** Aimed at, in units of max(1, ε): what the grid adds. */
const aim = 2e-4
/** In the same units: the most that an answer may be too high. */
export const mostSlack = 1.2e-3

/** The λ > 0 where Chernoff's bound of ε, over all orders, is least; and that bound. */
function chernoff(spends: readonly Spend[], delta: number): { lambda: number; epsilon: number } {
  const bound = (lambda: number) => {
    const log = spends.reduce((sum, spend) => sum + spend.steps * lambda * rdpOfStep(spend, lambda + 1), 0)
    return (log - Math.log(delta) - Math.log1p(lambda)) / lambda + Math.log(lambda / (1 + lambda))
  }
  // Golden section over log λ.
  const ratio = (Math.sqrt(5) - 1) / 2
  let low = Math.log(1e-2)
  let high = Math.log(1e5)
  let [left, right] = [high - ratio * (high - low), low + ratio * (high - low)]
  let [atLeft, atRight] = [bound(Math.exp(left)), bound(Math.exp(right))]
  while (high - low > 1e-3) {
    if (atLeft <= atRight) {
      ;[high, right, atRight] = [right, left, atLeft]
      left = high - ratio * (high - low)
      atLeft = bound(Math.exp(left))
    } else {
      ;[low, left, atLeft] = [left, right, atRight]
      right = low + ratio * (high - low)
      atRight = bound(Math.exp(right))
    }
  }
  return { lambda: Math.exp((low + high) / 2), epsilon: Math.max(0, Math.min(atLeft, atRight)) }
}

interface Found {
  epsilon: number
  slack: number
}

/** Where the tilted mean is within this many deviations of ε, its law is precise there. */
const near = 5

function tiltedEpsilon(parts: readonly Part[], lambda: number, delta: number): { epsilon: number; lambda: number } {
  let tilt = lambda
  for (let tries = 0; ; tries++) {
    const { epsilon, at } = composedEpsilon(parts, tilt, delta)
    const off = (Math.max(0, epsilon) - at.mean) / Math.sqrt(at.variance)
    if (Math.abs(off) < near || tilt === 0 || tries === 8) return { epsilon, lambda: tilt }
    tilt = Math.max(0, tilt + Math.max(-near, Math.min(near, off)) / Math.sqrt(at.variance))
  }
}

function oneSided(spends: readonly Spend[], neighbour: Neighbour, lambda: number, h: number, delta: number): Found {
  const steps = spends.reduce((sum, spend) => sum + spend.steps, 0)
  const tail = (1e-8 * delta) / steps
  const parts = spends.map((spend) => ({ grid: lossGrid(spend, neighbour, h, tail), steps: spend.steps }))
  const fine = tiltedEpsilon(parts, lambda, delta)
  if (!(fine.epsilon > 0)) return { epsilon: 0, slack: 0 }
  const coarse = tiltedEpsilon(
    parts.map(({ grid, steps }) => ({ grid: coarser(grid), steps })),
    fine.lambda,
    delta,
  )
  return { epsilon: fine.epsilon, slack: coarse.epsilon - fine.epsilon }
}

/** ε and how far above the truth it may be. Equal spends are one entry. */
export function pldEpsilon(spends: readonly Spend[], delta: number): Found {
  if (spends.every(({ sampleRate }) => sampleRate === 1)) return gaussianEpsilon(spends, delta)
  if (spends.reduce((sum, spend) => sum + spend.steps * totalVariation(spend), 0) <= delta) return { epsilon: 0, slack: 0 }
  const { lambda, epsilon: bound } = chernoff(spends, delta)
  const steps = spends.reduce((sum, spend) => sum + spend.steps, 0)
  let h = Math.sqrt((12 * aim * Math.max(1, bound)) / (steps * (lambda + 1)))
  for (;;) {
    const sides = (['remove', 'add'] as const).map((neighbour) => oneSided(spends, neighbour, lambda, h, delta))
    const epsilon = Math.max(...sides.map((side) => side.epsilon))
    const slack = Math.max(...sides.map((side) => side.slack))
    if (slack <= 0.9 * mostSlack * Math.max(1, epsilon)) return { epsilon, slack }
    h /= 2
  }
}
