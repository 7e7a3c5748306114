/**
 * Tight (ε, δ) by privacy loss distributions, from above.
 *
 * The greater of what adding and removing a record can show. The grid is as fine as its own excess asks: at order α = λ + 1 it is about
 * steps · α h² / 12. The difference between two grids says what is left of it.
 *
 * Source: Koskela, Jälkö and Honkela 2020, "Computing tight differential privacy guarantees using FFT"; for steps that take in every
 * record, whose loss is normal, Balle and Wang 2018, "Improving the Gaussian mechanism for differential privacy".
 */
import { composedEpsilon } from './compose.js'
import { gaussianEpsilon } from './gaussian.js'
import { lossGrid, type Neighbour, notFound, totalVariation } from './loss.js'
import { rdpOfStep } from './rdp.js'
import type { Spend } from './spend.js'
import type { Part } from './tilt.js'

/** Aimed at, in units of max(1, ε): what the grid adds. */
const aim = 1e-4
/** In the same units: the most that an answer may be too high; what of it is for rounding, tails and the ends of windows. */
const mostSlack = 1.1e-3
const numerical = 2e-5

/** On grids of at least so many steps up to ε the excess falls with h as it does in the limit. */
const fine = 16

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

interface Start {
  lambda: number
  /** Of the first grid. */
  h: number
  /** Of all spends. */
  steps: number
}

/** Where the tilted mean is within this many deviations of ε, its law is precise there; elsewhere it is asked whether it is. */
const near = 5
const mostTilts = 16

/** ε where it is above `floor`, and the tilt that shows it. */
function tiltedEpsilon(parts: readonly Part[], lambda: number, delta: number, floor: number) {
  let tilt = lambda
  for (let tries = 0; tries < mostTilts; tries++) {
    const { epsilon, inside, excess, at } = composedEpsilon(parts, tilt, delta)
    if (epsilon <= floor) return { epsilon: floor, lambda: tilt }
    const deviation = Math.sqrt(at.variance)
    const off = (epsilon - at.mean) / deviation
    if (inside && (Math.abs(off) < near || excess() <= (numerical / 2) * Math.max(1, epsilon)))
      return { epsilon, lambda: tilt }
    tilt = inside ? Math.max(tilt / 2, tilt + Math.max(-near, Math.min(near, off)) / deviation) : tilt / 4
  }
  throw notFound(mostTilts)
}

/**
 * One neighbour's ε on finer and finer grids, until it is precise enough or not above `floor`.
 *
 * What a grid that is fine beside ε adds grows at least in proportion to h, mostly with h²: so an answer is above the truth by no more than it is below that of
 * the grid before.
 */
function oneSided(spends: readonly Spend[], neighbour: Neighbour, start: Start, delta: number, floor: number): Found {
  const tail = (1e-8 * delta) / start.steps
  let { h, lambda } = start
  for (let before = Number.POSITIVE_INFINITY; ; h /= 2) {
    const parts = spends.map((spend) => ({ grid: lossGrid(spend, neighbour, h, tail), steps: spend.steps }))
    const { epsilon, lambda: tilt } = tiltedEpsilon(parts, lambda, delta, floor)
    if (epsilon === floor) return { epsilon: floor, slack: 0 }
    const slack = before - epsilon + numerical * Math.max(1, epsilon)
    if (slack <= mostSlack * Math.max(1, epsilon) && h <= epsilon / fine) return { epsilon, slack }
    // ε is never below 0.
    if (epsilon <= numerical) return { epsilon, slack: epsilon }
    before = epsilon
    lambda = tilt
  }
}

/** ε and how far above the truth it may be. Equal spends are one entry. */
export function pldEpsilon(spends: readonly Spend[], delta: number): Found {
  if (spends.every(({ sampleRate }) => sampleRate === 1)) return gaussianEpsilon(spends, delta)
  const variation = spends.reduce((sum, spend) => sum + spend.steps * totalVariation(spend), 0)
  if (variation <= delta) return { epsilon: 0, slack: 0 }
  const { lambda, epsilon: bound } = chernoff(spends, delta)
  const steps = spends.reduce((sum, spend) => sum + spend.steps, 0)
  const start = { lambda, steps, h: 2 * Math.sqrt((12 * aim * Math.max(1, bound)) / (steps * (lambda + 1))) }
  const removed = oneSided(spends, 'remove', start, delta, 0)
  const added = oneSided(spends, 'add', start, delta, removed.epsilon)
  return added.epsilon > removed.epsilon ? added : removed
}
