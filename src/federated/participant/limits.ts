/** What a client does at most in a round, whatever its server asks. */
import { z } from 'zod'
import { formatBytes } from '../../errors/describe.js'
import { FedloraError } from '../../errors.js'
import { bytesSchema } from '../../training/options.js'

export const limitsSchema = z.strictObject({
  memory: bytesSchema
    .optional()
    .describe(
      "memory of the model and its training, in bytes or as '3 GiB': more is computed again to fit, and work that cannot fit is declined",
    ),
  seconds: z.number().positive().optional().describe('seconds that the work of a round may take'),
  steps: z.int().min(1).optional().describe('optimiser steps of a training'),
  epsilon: z
    .number()
    .positive()
    .optional()
    .describe(
      'privacy that the rows here may spend in all; without private steps (privacy.level example) nothing is sent at all',
    ),
  bytesUp: bytesSchema.optional().describe("bytes that an answer may have, or a text such as '8 MiB'"),
})

/** Limits of a client: work beyond one of them is declined, with the reason, and the next round's is looked at anew. */
export type LimitsOptions = z.input<typeof limitsSchema>
export type Limits = z.output<typeof limitsSchema>

/** What a round would take, as far as it is known. */
export type Demand = { [Limit in keyof Limits]-?: number | undefined }

const words: { [Limit in keyof Limits]-?: (value: number) => string } = {
  memory: (bytes) => `${formatBytes(bytes)} of memory`,
  seconds: (seconds) => `${seconds.toPrecision(3)} seconds`,
  steps: (steps) => `${steps} steps`,
  epsilon: (epsilon) =>
    `an epsilon of ${Number.isFinite(epsilon) ? epsilon.toPrecision(4) : 'infinity, for nothing is private,'}`,
  bytesUp: (bytes) => `${formatBytes(bytes)} to be sent`,
}

/** @throws FedloraError `E_LIMIT` naming the first limit that is exceeded, its value, and what was asked for. */
export function checkLimits(limits: Limits, demand: Partial<Demand>): void {
  for (const limit of Object.keys(words) as (keyof Limits)[]) {
    const [most, needed] = [limits[limit], demand[limit]]
    if (most === undefined || needed === undefined || needed <= most) continue // not for NaN
    const message = `the work takes ${words[limit](needed)}, and limits.${limit} allows ${words[limit](most)}`
    throw new FedloraError('E_LIMIT', message, { limit, needed, most })
  }
}
