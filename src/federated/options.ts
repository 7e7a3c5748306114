/** Options of `simulate`: everything that JSON can hold, in one schema; objects (model, clients, signal) are checked beside it. */
import { z } from 'zod'
import { formerNames } from '../options/schema-paths.js'
import { trainOptionsSchema } from '../training/options.js'
import { scheduleSchema } from '../training/schedule.js'
import { type AlgorithmInput, algorithmSchema } from './algorithms/index.js'
import { asynchronousSchema } from './asynchronous-options.js'
import { attackersSchema } from './attacker-options.js'
import { clockSchema } from './clock-options.js'
import { downloadSchema } from './download-options.js'
import { privacySchema } from './privacy-options.js'
import { robustSchema } from './robust-options.js'
import { screeningSchema } from './screening-options.js'
import { secureAggregationSchema } from './secure-aggregation-options.js'
import { serverOptimizerSchema, serverRules } from './server-step/step.js'
import { uploadSchema } from './upload-options.js'

const recipe = trainOptionsSchema.pick({
  batchSize: true,
  gradientAccumulation: true,
  learningRate: true,
  weightDecay: true,
  betas: true,
  epsilon: true,
  maxGradNorm: true,
  optimizer: true,
  momentum: true,
  packing: true,
  shuffle: true,
  memoryBudget: true,
})

const localObject = recipe.extend({
  schedule: scheduleSchema
    .prefault('constant')
    .describe('how the learning rate moves over the rounds; within a round it is constant'),
  steps: z.int().min(1).optional().describe('optimiser steps of a client in a round; this or epochs'),
  epochs: z.number().positive().optional().describe("passes over a client's rows in a round; this or steps"),
})

export const localSchema = localObject.refine(
  (local) => (local.steps === undefined) !== (local.epochs === undefined),
  'expected either steps or epochs',
)

const ownObject = localObject.omit({ schedule: true })

/** Without its default. */
const bare = (schema: z.ZodType) =>
  schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault ? (schema.unwrap() as z.ZodType) : schema

/** Options of local work that some clients have for themselves: all but the schedule. They have no defaults: the federation's stand. */
export const overridesSchema = z.strictObject(
  Object.fromEntries(
    Object.entries(ownObject.shape).map(([key, schema]) => [
      key,
      bare(schema)
        .optional()
        .describe(schema.description ?? ''),
    ]),
  ),
) as unknown as ReturnType<typeof ownObject.partial>

export type LocalOverrides = z.input<typeof overridesSchema>

const serverOptimizer = z.union([
  z.enum(serverRules).transform((name) => serverOptimizerSchema.parse({ name })),
  serverOptimizerSchema,
])

export const federationSchema = z.strictObject({
  rounds: z.int().min(1).describe('rounds of the federation'),
  cohort: z
    .union([z.number().positive(), z.strictObject({ clients: z.int().min(1) })])
    .default(1)
    .describe('clients asked in a round: a share up to 1, a number from 2, or { clients }'),
  local: localSchema.describe('work of a client in a round; its schedule runs over the rounds'),
  upload: uploadSchema.prefault({}).describe('how updates travel to the server'),
  download: downloadSchema.prefault({}).describe('how the adapter travels to the clients'),
  algorithm: algorithmSchema
    .default('fedavg')
    .describe('what clients train and send, and what the server makes of it: a name, or a name with its options')
    .register(formerNames, { name: 'aggregation' }),
  weighting: z
    .enum(['rows', 'tokens', 'uniform'])
    .optional()
    .describe("what a client counts by in means; default: the algorithm's, for most of them rows"),
  overrides: z
    .record(z.string().min(1), overridesSchema)
    .optional()
    .describe('local options of some clients, by name or by a pattern with *; later entries win'),
  attackers: attackersSchema
    .optional()
    .describe('clients that lie, to test with: attacks by name or by a pattern with *; later entries win'),
  screening: screeningSchema.optional().describe('bounds of what a client may send: an answer beyond them is refused'),
  robust: robustSchema
    .optional()
    .describe(
      'rule in the place of the mean, which holds against some clients that send anything: a name, or { rule, … }',
    ),
  serverOptimizer: serverOptimizer.prefault('none').describe("the server's step: a name, or its options"),
  maxResidualRank: z
    .int()
    .min(1)
    .max(2048)
    .default(256)
    .describe(
      'ranks of the frozen residual beside the adapter (fedex, flora); what is beyond is cut by its singular values',
    ),
  privacy: privacySchema.optional().describe('differential privacy: what it hides, the noise, and the budget'),
  absence: z
    .number()
    .min(0)
    .lt(1)
    .default(0)
    .describe('probability that a client does not answer in a round')
    .register(formerNames, { name: 'dropout' }),
  secureAggregation: secureAggregationSchema
    .optional()
    .describe('the server learns the sum of a round’s updates, and none of them'),
  concurrency: z
    .int()
    .min(1)
    .default(1)
    .describe('clients whose steps share passes over the base: faster where rows are short, same bits, more memory'),
  seed: z.int().min(0).default(0).describe('seed of cohorts, absences, row orders and rounding'),
  clock: clockSchema
    .optional()
    .describe('virtual time: what devices and links are like, and what a round waits for; without it rounds have none'),
  asynchronous: asynchronousSchema
    .optional()
    .describe('no rounds: the server makes a step whenever a buffer of answers is full, in virtual time'),
  checkpointEvery: z.int().min(1).default(1).describe('rounds between checkpoints'),
  baselines: z
    .array(z.enum(['global', 'local']))
    .default([])
    .describe('trained beside it with the same budget: global (all rows in one place), local (each client alone)'),
  baselineSchedule: scheduleSchema.optional().describe('schedule over the steps of a baseline; default that of local'),
  outputDir: z.string().min(1).optional().describe('run folder'),
  resumeFrom: z.string().min(1).optional().describe('run folder to continue'),
})

/**
 * Part of `simulate`'s options that a config file can hold.
 *
 * `concurrency` clients of a cohort train in lockstep: their micro-batches run side by side in one pass over the frozen base, up to 1,024
 * tokens of them, each with its own adapter. No result depends on it. It pays where a client's own micro-batch is too small to keep the
 * processor busy (some hundred tokens) and costs, for each client more, its adapter with gradient and moments (16 bytes a trainable value
 * with AdamW), and the activations of the larger pass: `estimate({ concurrency })` gives the sum. With `local.memoryBudget` no more clients
 * run at the same time than its plan has room for. Default 1.
 */
export type FederationOptions = Omit<z.input<typeof federationSchema>, 'algorithm' | 'overrides'> & {
  /** A name, a name with its options, or a record of your own. Default 'fedavg'. */
  algorithm?: AlgorithmInput
  /** Local options of some clients: by name or pattern, or a function of the name. */
  overrides?: Record<string, LocalOverrides> | ((client: string) => LocalOverrides | undefined)
}
export type FederationConfig = z.output<typeof federationSchema>
