/**
 * ε of composed steps from their losses on a grid: δ(ε) = P(L = ∞) + E[(1 − e^{ε − L})₊], the sum's law by Fourier transform.
 *
 * The transform wraps around a window of n points: what lies outside adds to points inside, which can only raise δ, and what lies above
 * is bounded and added. So is the rounding of the transforms: the result is never below that of the exact composition.
 */
import { fft } from './fft.js'
import { mostPoints, tooFine } from './loss.js'
import { type Cumulants, cumulants, greatest, type Part, reach } from './tilt.js'

/** Of δ, what the window's outside may change: e^{−nats}. */
const precision = 14
/** A bound of the relative rounding of one factor of a spectrum's product. */
const rounding = 4 * Number.EPSILON

interface Window {
  /** Index of the least loss. */
  first: number
  /** Tilted masses. */
  masses: Float64Array
  /** What each was raised by for rounding. */
  raised: number
}

/** The spectrum of one tilted step, wrapped to n points. */
function spectrum({ grid }: Part, lambda: number, n: number): [Float64Array, Float64Array] {
  const re = new Float64Array(n)
  const im = new Float64Array(n)
  const { h, first, logs } = grid
  const shift = greatest(grid, lambda)
  let sum = 0
  for (let i = 0, place = ((first % n) + n) % n; i < logs.length; i++, place = place + 1 === n ? 0 : place + 1) {
    const weight = Math.exp(logs[i]! + lambda * h * (first + i) - shift)
    re[place]! += weight
    sum += weight
  }
  for (let i = 0; i < n; i++) re[i]! /= sum
  fft(re, im)
  return [re, im]
}

/** The tilted law of the sum on a window of n points from index `first` on, each raised by what rounding may have taken. */
function tiltedSum(parts: readonly Part[], lambda: number, first: number, n: number): Window {
  const log = new Float64Array(n / 2 + 1)
  const angle = new Float64Array(n / 2 + 1)
  let factors = Math.log2(n)
  for (const part of parts) {
    const [re, im] = spectrum(part, lambda, n)
    for (let k = 0; k <= n / 2; k++) {
      log[k]! += (part.steps / 2) * Math.log(re[k]! * re[k]! + im[k]! * im[k]!)
      angle[k]! += part.steps * Math.atan2(im[k]!, re[k]!)
    }
    factors += part.steps
  }
  // The inverse, of real numbers: real and imaginary part exchanged.
  const re = new Float64Array(n)
  const im = new Float64Array(n)
  let magnitude = 0
  for (let k = 0; k <= n / 2; k++) {
    if (!(log[k]! > -60)) continue
    const size = Math.exp(log[k]!)
    magnitude += 2 * size
    im[k] = size * Math.cos(angle[k]!)
    re[k] = size * Math.sin(angle[k]!)
    if (k === 0 || k === n / 2) continue
    im[n - k] = im[k]!
    re[n - k] = -re[k]!
  }
  fft(re, im)
  const lost = (rounding * factors * magnitude) / n
  const masses = new Float64Array(n)
  for (let i = 0; i < n; i++) masses[i] = Math.max(0, im[(((first + i) % n) + n) % n]! / n) + lost
  return { first, masses, raised: lost }
}

/** The ε where δ(ε) of the window is `target`, all relative to e^{K − λ·mean}; undefined when it is below the window. */
function solve(
  { first, masses }: Pick<Window, 'first' | 'masses'>,
  h: number,
  lambda: number,
  mean: number,
  target: number,
): number | undefined {
  // Over the losses above a point l of the grid: δ(ε) = above − e^{ε − l} · scaled, for ε up to the next one.
  let above = 0
  let scaled = 0
  const shrink = Math.exp(-h)
  for (let i = masses.length - 1; i >= 0; i--) {
    const loss = h * (first + i) - mean
    scaled *= shrink
    if (above - scaled >= target) return mean + loss + Math.log((above - target) / scaled)
    const weight = masses[i]! * Math.exp(-lambda * loss)
    above += weight
    scaled += weight
  }
  return undefined
}

export interface Composed {
  epsilon: number
  /** False: it is below the window; `epsilon` is the window's lower end. */
  inside: boolean
  /** By how much what is added for rounding raises it, at most. */
  excess(): number
  /** Of the tilted law it was found in. */
  at: Cumulants
}

/** @param lambda - a tilt whose mean is near ε. */
export function composedEpsilon(parts: readonly Part[], lambda: number, delta: number): Composed {
  const { h } = parts[0]!.grid
  const at = cumulants(parts, lambda)
  const infinite = parts.reduce((sum, { grid, steps }) => sum + steps * grid.infinite, 0)
  // δ in the units of the tilted law.
  const logTarget = Math.log(delta - infinite) - at.log + lambda * at.mean
  const nats = precision - Math.min(0, logTarget)
  const above = reach(parts, lambda, at, nats, 1)
  const below = reach(parts, lambda, at, nats, -1)
  const n = 2 ** Math.ceil(Math.log2((above + below) / h + 8))
  if (!(n <= mostPoints)) throw tooFine(n)
  const first = Math.floor((at.mean - below) / h) - 2
  const window = tiltedSum(parts, lambda, first, n)
  const beyond = Math.exp(-nats - lambda * (h * (first + n) - at.mean))
  const target = Math.exp(logTarget) - beyond
  const epsilon = solve(window, h, lambda, at.mean, target)
  const excess = () => {
    const bare = window.masses.map((mass) => Math.max(0, mass - window.raised))
    const least = solve({ first, masses: bare }, h, lambda, at.mean, target)
    return epsilon === undefined || least === undefined ? Number.POSITIVE_INFINITY : epsilon - least
  }
  return { epsilon: epsilon ?? h * first, inside: epsilon !== undefined, excess, at }
}
