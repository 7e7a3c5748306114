/** Options that the doors of this room share. */
import { z } from 'zod'

export const sampleRateSchema = z
  .number()
  .positive()
  .max(1)
  .describe('probability that a record, or client, takes part in a step; each by itself (Poisson sampling)')
export const noiseMultiplierSchema = z
  .number()
  .min(0)
  .describe("standard deviation of the noise over the sum's sensitivity (the clip norm); 0: none")
export const stepsSchema = z.int().min(0).describe('noised sums that are released')
export const deltaSchema = z
  .number()
  .gt(0)
  .lt(1)
  .describe('probability with which the bound may fail; below 1/n for n records')
export const accountantSchema = z
  .enum(['rdp', 'pld'])
  .default('pld')
  .describe('how the spend is bounded: pld (tight) or rdp (Rényi, the orders that Opacus takes)')

export const spendSchema = z.strictObject({
  sampleRate: sampleRateSchema,
  noiseMultiplier: noiseMultiplierSchema,
  steps: stepsSchema,
})
