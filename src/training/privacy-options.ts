/** Options of differentially private training, and what they come to over a run's rows and steps. */
import { z } from 'zod'
import { FedloraError } from '../errors.js'
import { epsilonOf } from '../privacy/epsilon.js'
import { noiseFor } from '../privacy/noise-for.js'
import { accountantSchema, deltaSchema, noiseMultiplierSchema } from '../privacy/options.js'
import { type PrivateSteps, stepKeys } from './private-steps.js'

const shape = {
  clip: z.number().positive().describe("2-norm that a row's gradient is cut to; takes the place of maxGradNorm"),
  noiseMultiplier: noiseMultiplierSchema.optional().describe('standard deviation of the noise, in clips; or epsilon'),
  epsilon: z
    .number()
    .positive()
    .optional()
    .describe('budget; alone it sets the least noise that lasts for all steps, with noiseMultiplier it ends the run'),
  delta: deltaSchema,
  accountant: accountantSchema,
  noise: z
    .enum(['secure', 'seeded'])
    .default('secure')
    .describe(
      'keys of noise and draws: secure, or seeded: the same bits again, and no protection from who knows the seed',
    ),
}

/**
 * Differentially private training (DP-SGD, Abadi et al. 2016): each row is drawn for a step by itself with probability batchSize ×
 * gradientAccumulation / rows, its gradient is cut to `clip`, and the sum gets Gaussian noise. What is protected is one row: a person with
 * two rows has twice the ε, nearly. `batchSize` is then only how many rows share a pass. One of `noiseMultiplier` and `epsilon` is needed.
 */
export const trainPrivacySchema = z.strictObject(shape)

export type ExamplePrivacy = z.output<typeof trainPrivacySchema>

/** What a private run does at every step, and for how many of them its budget lasts. */
export interface PrivacyPlan {
  clip: number
  noiseMultiplier: number
  /** Probability with which a row is drawn. */
  sampleRate: number
  /** Rows of a step on average. */
  expectedExamples: number
  delta: number
  accountant: ExamplePrivacy['accountant']
  /** Infinity without a budget. */
  mostSteps: number
}

/** ε after so many steps; Infinity without noise. */
export function epsilonAfter({ sampleRate, noiseMultiplier, delta, accountant }: PrivacyPlan, steps: number): number {
  return epsilonOf([{ sampleRate, noiseMultiplier, steps }], delta, accountant).epsilon
}

/** The most steps up to `steps` that stay within a budget. */
function lasting(plan: PrivacyPlan, budget: number, steps: number): number {
  let [fits, exceeds] = [0, steps + 1]
  while (exceeds - fits > 1) {
    const middle = fits === 0 && exceeds === steps + 1 ? steps : Math.floor((fits + exceeds) / 2)
    if (epsilonAfter(plan, middle) <= budget) fits = middle
    else exceeds = middle
  }
  return fits
}

/**
 * The plan of a run over `rows` rows with `batch` of them a step on average.
 * @param where - for messages: whose options these are.
 * @throws FedloraError `E_CONFIG`: neither noise nor a budget, a budget without noise or below what one step spends, a delta of 1/rows or
 * more.
 */
export function planPrivacy(
  privacy: ExamplePrivacy,
  { rows, batch, steps }: { rows: number; batch: number; steps: number },
  where: string,
): PrivacyPlan {
  const { clip, epsilon: budget, delta, accountant } = privacy
  const refuse = (message: string, field: string): never => {
    throw new FedloraError('E_CONFIG', `${where}: privacy.${message}`, { field: `privacy.${field}` })
  }
  if (privacy.noiseMultiplier === undefined && budget === undefined) {
    refuse('noiseMultiplier or privacy.epsilon is needed: how much noise, or how much may be spent', 'noiseMultiplier')
  }
  if (privacy.noiseMultiplier === 0 && budget !== undefined) {
    refuse('noiseMultiplier is 0 and keeps no epsilon; leave one of them out', 'noiseMultiplier')
  }
  if (delta >= 1 / rows) {
    refuse(
      `delta is ${delta} for ${rows} rows: from 1/${rows} on, publishing a row whole would pass; give less`,
      'delta',
    )
  }
  const expectedExamples = Math.min(batch, rows)
  const sampleRate = expectedExamples / rows
  const noiseMultiplier =
    privacy.noiseMultiplier ?? noiseFor({ epsilon: budget!, delta, sampleRate, steps: Math.max(1, steps), accountant })
  const plan = {
    clip,
    noiseMultiplier,
    sampleRate,
    expectedExamples,
    delta,
    accountant,
    mostSteps: Number.POSITIVE_INFINITY,
  }
  if (budget === undefined) return plan
  const mostSteps = lasting(plan, budget, steps)
  if (mostSteps === 0) {
    refuse(
      `epsilon is ${budget}, but the first step would spend ${epsilonAfter(plan, 1).toPrecision(3)} with noiseMultiplier ${noiseMultiplier}; give more of either`,
      'epsilon',
    )
  }
  return { ...plan, mostSteps }
}

/** The steps of a plan, for a loop. */
export function stepsOf(
  plan: Omit<PrivacyPlan, 'mostSteps'>,
  noise: ExamplePrivacy['noise'],
  seed: number,
): PrivateSteps {
  const { clip, noiseMultiplier, expectedExamples, sampleRate } = plan
  return { clip, noiseMultiplier, expectedExamples, sampleRate, keysOf: (step) => stepKeys(noise, seed, step) }
}
