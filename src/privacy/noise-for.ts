/** The noise that a budget asks for. */
import { z } from 'zod'
import { FedloraError } from '../errors.js'
import { parseOptions } from '../options/parse.js'
import { type AccountantName, epsilonOf } from './epsilon.js'
import { accountantSchema, deltaSchema, sampleRateSchema, stepsSchema } from './options.js'

const schema = z.strictObject({
  epsilon: z.number().positive().describe('the budget, in nats'),
  delta: deltaSchema,
  sampleRate: sampleRateSchema,
  steps: stepsSchema.min(1),
  accountant: accountantSchema,
})

export interface NoiseForInput {
  /** The budget, in nats, above 0. */
  epsilon: number
  /** In (0, 1). */
  delta: number
  /** In (0, 1]. */
  sampleRate: number
  /** A whole number from 1. */
  steps: number
  /** Default 'pld'. */
  accountant?: AccountantName
}

const least = 1e-6
const most = 1e9
/** How near to the budget the noise is taken: a tight ε has a grid's excess in it, the other is a formula. */
const nearness = { pld: 1e-3, rdp: 1e-13 }

/**
 * The least noise multiplier with which `steps` steps stay within a budget: its ε is at most the budget, and at least 0.98 of it.
 * @throws FedloraError `E_CONFIG` for parameters that are none, and for budgets that no noise meets: below what 'rdp' can show, or so large
 * that sampling alone keeps it.
 * @example
 * ```ts
 * const sigma = noiseFor({ epsilon: 8, delta: 1e-5, sampleRate: 0.04, steps: 2000 })
 * console.log(sigma.toFixed(2)) // 1.29
 * ```
 */
export function noiseFor(input: NoiseForInput): number {
  const { epsilon: budget, delta, sampleRate, steps, accountant } = parseOptions(schema, input, 'noiseFor')
  /** log(ε/budget) at a multiplier e^x. */
  const excess = (x: number) =>
    Math.log(epsilonOf([{ sampleRate, noiseMultiplier: Math.exp(x), steps }], delta, accountant).epsilon / budget)
  const refuse = (why: string, cure: string): never => {
    const message = `noiseFor: epsilon: got ${budget}, but with delta ${delta}, sampleRate ${sampleRate} and ${steps} steps ${why}; ${cure}`
    throw new FedloraError('E_CONFIG', message, { epsilon: budget, delta, sampleRate, steps, accountant })
  }
  // Within [low, high], ε falls from above the budget to at most the budget.
  let high = Math.log(
    Math.min(most, Math.max(0.3, (sampleRate * Math.sqrt(2 * steps * Math.log(1.25 / delta))) / budget)),
  )
  let atHigh = excess(high)
  let low = high
  let atLow = atHigh
  while (atHigh > 0) {
    ;[low, atLow] = [high, atHigh]
    if (high >= Math.log(most))
      refuse(
        `no noise up to ${most} keeps it ('${accountant}')`,
        "take accountant 'pld', a larger epsilon or a larger delta",
      )
    high += Math.LN2
    atHigh = excess(high)
  }
  while (!(atLow > 0)) {
    ;[high, atHigh] = [low, atLow]
    if (low <= Math.log(least))
      refuse('any noise keeps it: so seldom is a record taken', 'take a smaller epsilon or a smaller delta')
    low -= Math.LN2
    atLow = excess(low)
  }
  // Regula falsi (Illinois), with bisection where an end is not finite.
  let [heightLow, heightHigh] = [atLow, atHigh]
  while (atHigh < -nearness[accountant] && high - low > 1e-14 * Math.max(1, Math.abs(high))) {
    const straight = (low * heightHigh - high * heightLow) / (heightHigh - heightLow)
    const x = straight > low && straight < high ? straight : (low + high) / 2
    const atX = excess(x)
    if (atX > 0) {
      low = x
      heightLow = atX
      heightHigh /= 2
    } else {
      high = x
      atHigh = atX
      heightHigh = atX
      heightLow /= 2
    }
  }
  return Math.exp(high)
}
