/** A federation without rounds: a buffer of answers fills, and the server makes a step of it. */
import { z } from 'zod'

export const asynchronousSchema = z.strictObject({
  buffer: z.int().min(1).describe('K: answers of which the server makes a step; `rounds` counts these steps'),
  concurrency: z
    .int()
    .min(1)
    .describe(
      'C: clients at work at the same time, which is virtual in a simulation; whoever ends makes room for another',
    ),
  maxStaleness: z
    .int()
    .min(0)
    .optional()
    .describe('steps that the server may have made since a client began; an answer older than that is refused'),
  exponent: z
    .number()
    .min(0)
    .default(0.5)
    .describe('an update that began τ steps ago is scaled by (1 + τ)^−exponent; its weight in the mean stays'),
})

export type AsynchronousConfig = z.output<typeof asynchronousSchema>
