/**
 * The privacy loss of one Poisson-sampled Gaussian step, on a grid, never less than it is.
 *
 * Q = N(0, σ²) against the mixture M = (1−q) N(0, σ²) + q N(1, σ²), ratio m(x) = dM/dQ. Removing a record: L = log m(x), x ~ M; adding
 * one: L = −log m(x), x ~ Q. A cell (l_i, l_{i+1}] with mass a under the one and b = E[e^{−L}; cell] under the other goes to its two ends
 * such that both are kept: up (a − b e^{l_i}) / (1 − e^{−h}), down the rest. That is linear interpolation of δ over e^ε between points of
 * the grid; as δ is convex in e^ε, it is an upper bound there and under composition, and its excess falls with h².
 *
 * Source: Doroshenko, Ghazi, Kamath, Kumar and Manurangsi 2022, "Connect the dots: tighter discrete approximations of privacy loss
 * distributions".
 */
import { FedloraError } from '../../errors.js'
import { between, upperQuantile, upperTail } from './normal.js'
import type { Spend } from './spend.js'

/** Whether the neighbouring data have a record less or a record more. */
export type Neighbour = 'remove' | 'add'

/** Masses at losses h·(first + i), as logarithms; `infinite` is the mass of losses beyond them. */
export interface LossGrid {
  h: number
  first: number
  logs: Float64Array
  infinite: number
}

/** Points of a grid, and of a window: 32 MiB each. */
export const mostPoints = 2 ** 22

/** What cannot be told precisely in reasonable time and memory. */
export const tooFine = (points: number) =>
  new FedloraError(
    'E_UNSUPPORTED',
    `accountant 'pld': these steps need ${points} points, more than the ${mostPoints} of the largest grid; take accountant 'rdp'`,
    { points, most: mostPoints },
  )

/** @param tries - tilts, none of which showed the law near ε. */
export const notFound = (tries: number) =>
  new FedloraError(
    'E_UNSUPPORTED',
    `accountant 'pld': the law of these losses has no place that ${tries} tilts could look at; take accountant 'rdp'`,
  )

type Step = Omit<Spend, 'steps'>

/** log m(x). */
function lossAt({ sampleRate: q, noiseMultiplier: sigma }: Step, x: number): number {
  const y = (2 * x - 1) / (2 * sigma * sigma)
  if (q === 1) return y
  return y > 30 ? y + Math.log(q) + Math.log1p(((1 - q) / q) * Math.exp(-y)) : Math.log1p(q * Math.expm1(y))
}

/** The x where log m(x) = l; −∞ where no x has so small a loss. */
function outcomeOf({ sampleRate: q, noiseMultiplier: sigma }: Step, l: number): number {
  const square = sigma * sigma
  if (q === 1) return square * l + 0.5
  if (l > 30) return square * (l - Math.log(q) + Math.log1p(-(1 - q) * Math.exp(-l))) + 0.5
  const excess = Math.expm1(l) + q
  return excess <= 0 ? Number.NEGATIVE_INFINITY : square * Math.log(excess / q) + 0.5
}

/** Masses of an interval of outcomes under the mixture and under N(0, σ²). */
function massesOf({ sampleRate: q, noiseMultiplier: sigma }: Step, from: number, to: number): [number, number] {
  const still = between(from / sigma, to / sigma)
  return [(1 - q) * still + q * between((from - 1) / sigma, (to - 1) / sigma), still]
}

/** Losses outside the probability `tail` on either side, as [least, most]. */
function lossRange(step: Step, neighbour: Neighbour, tail: number): [number, number] {
  const reach = step.noiseMultiplier * upperQuantile(tail)
  if (neighbour === 'remove') return [lossAt(step, -reach), lossAt(step, 1 + reach)]
  return [-lossAt(step, reach), -lossAt(step, -reach)]
}

/** @param tail - probability that may go to infinity, and that may go up to the least point of the grid. */
export function lossGrid(step: Step, neighbour: Neighbour, h: number, tail: number): LossGrid {
  const removes = neighbour === 'remove'
  const [least, most] = lossRange(step, neighbour, tail)
  const first = Math.floor(least / h)
  const count = Math.max(1, Math.ceil(most / h) - first) + 1
  if (!(count <= mostPoints)) throw tooFine(count)
  const masses = new Float64Array(count)
  const edge = (i: number) => (removes ? outcomeOf(step, h * (first + i)) : outcomeOf(step, -h * (first + i)))
  let before = edge(0)
  const [mixtureBelow, stillBelow] = massesOf(
    step,
    removes ? Number.NEGATIVE_INFINITY : before,
    removes ? before : Number.POSITIVE_INFINITY,
  )
  masses[0] = removes ? mixtureBelow : stillBelow
  const width = -Math.expm1(-h)
  for (let i = 0; i + 1 < count; i++) {
    const after = edge(i + 1)
    const [mixture, still] = removes ? massesOf(step, before, after) : massesOf(step, after, before)
    const [a, b] = removes ? [mixture, still] : [still, mixture]
    const level = b === 0 ? 0 : b * Math.exp(h * (first + i))
    const up = Math.min(a, Math.max(0, (a - level) / width))
    masses[i]! += a - up
    masses[i + 1]! += up
    before = after
  }
  const [mixtureAbove, stillAbove] = massesOf(
    step,
    removes ? before : Number.NEGATIVE_INFINITY,
    removes ? Number.POSITIVE_INFINITY : before,
  )
  return { h, first, logs: masses.map(Math.log), infinite: removes ? mixtureAbove : stillAbove }
}

/** P(L > 0) less what the other side gives it: the total variation of one step, δ at ε = 0. */
export function totalVariation({ sampleRate, noiseMultiplier }: Step): number {
  return sampleRate * (1 - 2 * upperTail(0.5 / noiseMultiplier))
}
