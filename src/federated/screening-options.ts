/** Bounds that an answer must keep to count. */
import { z } from 'zod'

export const screeningSchema = z.strictObject({
  maxNorm: z.number().positive().optional().describe('2-norm of all that a client sends in a round, as one vector'),
  maxWeight: z.int().min(1).optional().describe('weight of a client in the means: its rows, or what weighting says'),
})

export type ScreeningConfig = z.output<typeof screeningSchema>
