/** Options of `simulate`'s privacy. */
import { z } from 'zod'
import { accountantSchema, deltaSchema, noiseMultiplierSchema } from '../privacy/options.js'

const adaptiveSchema = z.strictObject({
  quantile: z.number().gt(0).lt(1).default(0.5).describe('share of the norms that the clip norm moves to'),
  learningRate: z.number().positive().default(0.2).describe('how fast the clip norm moves, on a logarithmic scale'),
  countNoise: z
    .number()
    .positive()
    .optional()
    .describe(
      'standard deviation of the noise on the count of norms within; paid for by more noise on the sum. Default: a twentieth of the expected cohort, at least twice the noise multiplier',
    ),
})

/**
 * Differential privacy of a federation (McMahan et al. 2018, "Learning differentially private recurrent language models").
 *
 * `level: 'client'` hides whether a client takes part at all. Each client is in a round's cohort by itself with probability q (`cohort` as a
 * share); what it sends is cut to the 2-norm `clip` over all vectors together, by the client and again by the server; all clients count the
 * same, and the sum gets Gaussian noise of `noiseMultiplier · clip` and is divided by q times the number of clients, whoever answers. What
 * is protected is the adapter that the federation makes. Events, losses, counts and baselines are not: keep them to yourself.
 *
 * `level: 'example'` hides one row of a client, from everybody who sees what the client sends, the server included: every local step draws
 * each row by itself with probability batchSize × gradientAccumulation / rows, cuts its gradient to `clip` (in place of
 * `local.maxGradNorm`), and adds noise (Abadi et al. 2016). Each client has an account of its own; an event tells the largest ε of a client.
 *
 * `ffa` is the algorithm to take. With both factors noised, their product has the noise of either times the other, and the product of both
 * noises, which grows with σ⁴ and does not average out; with lora_A frozen, B·A is linear in what is noised, and half as many elements are
 * (Sun et al. 2024, "Improving LoRA in privacy-preserving federated learning").
 */
export const privacySchema = z
  .strictObject({
    level: z
      .enum(['client', 'example'])
      .describe("what is hidden: 'client', everything that one client adds; 'example', one row of a client"),
    clip: z
      .number()
      .positive()
      .describe("2-norm that an update, or a row's gradient, is cut to; with adaptive, in the first round"),
    noiseMultiplier: noiseMultiplierSchema
      .optional()
      .describe('standard deviation of the noise on the sum, in clip norms; or epsilon'),
    epsilon: z
      .number()
      .positive()
      .optional()
      .describe(
        'budget: alone it sets the least noise that lasts for all rounds, with noiseMultiplier it ends the run',
      ),
    delta: deltaSchema.describe('probability with which the bound may fail; below 1/n for n clients'),
    accountant: accountantSchema,
    adaptive: adaptiveSchema.optional().describe('the clip norm follows a quantile of the norms'),
    noise: z
      .enum(['secure', 'seeded'])
      .default('secure')
      .describe(
        'keys of noise and cohorts: secure, or seeded: the same bits again, and no protection from who knows the seed',
      ),
  })
  .refine(
    ({ noiseMultiplier, epsilon }) => noiseMultiplier !== undefined || epsilon !== undefined,
    'expected noiseMultiplier, epsilon or both',
  )
  .refine(
    ({ level, adaptive }) => level === 'client' || adaptive === undefined,
    "expected no adaptive: only the norm of level 'client' follows a quantile",
  )
  .refine(
    ({ noiseMultiplier, epsilon }) => noiseMultiplier !== 0 || epsilon === undefined,
    'expected a noiseMultiplier above 0: without noise no epsilon holds',
  )

export type PrivacyConfig = z.output<typeof privacySchema>
