/** How time passes in a simulation: what clients' devices and links are like, and what the server waits for. */
import { z } from 'zod'

const positive = z.number().positive()

/** A quantity as clients have it: the same for all, or drawn for each. Every law gives numbers above 0. */
export const distributionSchema = z.union([
  positive,
  z.strictObject({
    uniform: z.tuple([positive, positive]).refine(([low, high]) => low <= high, 'expected [low, high] with low ≤ high'),
  }),
  /** [median, standard deviation of the logarithm] */
  z.strictObject({ lognormal: z.tuple([positive, z.number().min(0).max(10)]) }),
  /** The mean. */
  z.strictObject({ exponential: positive }),
])

export type Distribution = z.output<typeof distributionSchema>

const lateSchema = z.strictObject({
  exponent: z.number().min(0).default(0.5).describe('an answer τ rounds late is scaled by (1 + τ)^−exponent'),
  maxStaleness: z.int().min(1).default(1).describe('rounds by which an answer may be late'),
})

const clockObject = z.strictObject({
  compute: distributionSchema
    .optional()
    .describe(
      'tokens that a client trains a second: a number, or { uniform: [low, high] }, { lognormal: [median, σ of its logarithm] }, { exponential: mean }; default 1000',
    ),
  bandwidth: z
    .union([distributionSchema, z.strictObject({ up: distributionSchema, down: distributionSchema })])
    .optional()
    .describe('bytes a second of its link: both ways alike, or { up, down }; default 1e6'),
  latency: z
    .union([z.literal(0), distributionSchema])
    .optional()
    .describe('seconds before a download or an upload begins; default 0'),
  redraw: z
    .boolean()
    .default(false)
    .describe('compute, bandwidth and latency of a client are drawn anew for every round; default: once for it'),
  availability: z
    .strictObject({
      period: z.number().min(1).max(1e9).describe('seconds from one window to the next'),
      share: z.number().min(1e-3).max(1).describe('share of the period in which a client works'),
    })
    .optional()
    .describe('windows in which a client works, each client with a phase of its own; default: always'),
  trace: z
    .string()
    .min(1)
    .optional()
    .describe('file of devices (CSV or JSONL) in the place of compute, bandwidth, latency and availability'),
  watts: z
    .strictObject({
      compute: z.number().min(0).default(10).describe('while it trains'),
      network: z.number().min(0).default(2).describe('while it sends or receives'),
    })
    .prefault({})
    .describe('power of a client, for the estimate of energy'),
  deadline: positive.optional().describe('seconds after which a round closes with the answers that have come'),
  over: z
    .number()
    .min(1)
    .default(1)
    .describe('over-selection: so many times the cohort is asked, and the first of the cohort’s size count'),
  minimumAnswers: z
    .int()
    .min(0)
    .default(0)
    .describe('a round with fewer answers is abandoned: nothing of it counts, the state stays as it is'),
  late: z
    .union([z.literal('discard'), lateSchema])
    .default('discard')
    .describe('what becomes of late answers: nothing, or they count in a later round, scaled down'),
  tiers: z
    .int()
    .min(1)
    .default(1)
    .describe('clients are put into so many tiers by their speed, and each cohort is drawn within one of them'),
})

/** What a trace says in their place. */
const ofDevices = ['compute', 'bandwidth', 'latency', 'availability'] as const

export const clockSchema = clockObject.superRefine((clock, context) => {
  const refuse = (key: string, message: string) => context.addIssue({ code: 'custom', path: [key], message })
  const beside = clock.trace === undefined ? undefined : ofDevices.find((key) => clock[key] !== undefined)
  if (beside !== undefined) refuse(beside, 'clock.trace says it for each client; leave one of the two out')
  if (clock.late !== 'discard' && clock.deadline === undefined && clock.over === 1)
    refuse('late', 'nobody is late without a deadline or over-selection; give clock.deadline or clock.over')
})

export type ClockOptions = z.input<typeof clockSchema>
export type ClockConfig = z.output<typeof clockSchema>
