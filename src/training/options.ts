/** Options of `train`: one schema for the API, the command line and the config file. */
import { z } from 'zod'
import type { Dataset } from '../data/dataset.js'
import { FedloraError } from '../errors.js'
import { parseOptions } from '../options/parse.js'
import { bestMetrics } from './early-stopping.js'
import { adamw } from './optimizer.js'
import { trainPrivacySchema } from './privacy-options.js'
import { scheduleSchema } from './schedule.js'

const units: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
}

/** Bytes, or a text such as `'3 GiB'`. */
export const bytesSchema = z.union([
  z.number().positive().transform(Math.floor),
  z
    .string()
    .regex(/^\s*\d+(\.\d+)?\s*([kmg]i?)?b\s*$/i, "expected bytes, or a text such as '3 GiB'")
    .transform((text) => {
      const [, number, unit] = /^\s*([\d.]+)\s*([a-z]+)\s*$/i.exec(text)!
      return Math.floor(Number(number) * units[unit!.toLowerCase()]!)
    }),
])

/** A data set, recognised by what a run needs of it. */
const datasetSchema = z.custom<Dataset>(
  (value) => typeof (value as Dataset | null)?.length === 'number' && typeof (value as Dataset).sample === 'function',
  'expected a data set',
)

/** When a run evaluates and what follows from it. */
export const evaluationShape = {
  every: z.int().min(1).optional().describe('steps between evaluations; default: only at the end'),
  batchTokens: z.int().min(1).default(2048).describe('tokens evaluated at once, at most (a longer row goes alone)'),
  best: z
    .enum(bestMetrics)
    .optional()
    .describe('keep the adapter of the best evaluation by this measure in outputDir/best'),
  patience: z
    .int()
    .min(1)
    .optional()
    .describe('stop after so many evaluations without a better one (by best, or loss); needs every'),
}

export const trainOptionsSchema = z.strictObject({
  epochs: z.number().positive().optional().describe('times every row is visited; this or maxSteps; default 1'),
  maxSteps: z.int().min(1).optional().describe('optimiser steps; this or epochs'),
  batchSize: z.int().min(1).default(8).describe('rows of a micro-batch'),
  gradientAccumulation: z.int().min(1).max(4096).default(1).describe('micro-batches of an optimiser step'),
  learningRate: z.number().positive().default(2e-4).describe('peak learning rate'),
  schedule: scheduleSchema.prefault('linear').describe('how the learning rate moves'),
  warmupSteps: z
    .int()
    .min(0)
    .optional()
    .describe('steps over which the learning rate rises from 0; this or warmupRatio; default 0'),
  warmupRatio: z.number().min(0).max(1).optional().describe('the same as a share of all steps'),
  weightDecay: z
    .number()
    .min(0)
    .default(adamw.weightDecay)
    .describe('decoupled for adamw, added to the gradient for sgd'),
  betas: z
    .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
    .default([adamw.beta1, adamw.beta2])
    .describe('adamw: decay of the two moments'),
  epsilon: z.number().positive().default(adamw.epsilon).describe('adamw: added to the denominator'),
  momentum: z.number().min(0).lt(1).default(adamw.momentum).describe('sgd'),
  maxGradNorm: z.number().min(0).default(1).describe('gradients are scaled down to this 2-norm; 0: never'),
  optimizer: z.enum(['adamw', 'sgd']).default('adamw').describe('optimiser'),
  packing: z
    .boolean()
    .default(false)
    .describe('fill a micro-batch up to batchSize × maxLength tokens; rows never see one another'),
  shuffle: z.boolean().default(true).describe('visit the rows in a new order each epoch'),
  seed: z.int().min(0).default(0).describe('seed of the order and of dropout'),
  memoryBudget: bytesSchema
    .optional()
    .describe("bytes, or a text such as '3 GiB': recompute activations as far as needed, refuse what cannot fit"),
  privacy: trainPrivacySchema
    .optional()
    .describe('differentially private steps: rows drawn at random, gradients of rows cut, noise on their sum'),
  checkpointEvery: z.int().min(1).default(100).describe('steps between checkpoints in outputDir'),
  keepCheckpoints: z.int().min(1).default(2).describe('checkpoints kept'),
  outputDir: z.string().min(1).optional().describe('run folder: config.json, events.ndjson, adapter/, checkpoints/'),
  resumeFrom: z.string().min(1).optional().describe('run folder, or one checkpoint of it, to continue bit by bit'),
  evaluate: z
    .strictObject({ data: datasetSchema.describe('the rows to evaluate on'), ...evaluationShape })
    .optional()
    .describe('evaluate on other data during the run'),
  tensorboard: z
    .union([z.boolean(), z.string().min(1)])
    .default(false)
    .describe('write TensorBoard event files: true for outputDir/tensorboard, or their folder'),
  signal: z.instanceof(AbortSignal).optional().describe('ends the run; with outputDir, after a checkpoint'),
})

/**
 * Options of `train`. Defaults: one epoch, `batchSize` 8, no accumulation, learning rate 2e-4 falling linearly, no warm-up, AdamW
 * (0.9, 0.999, 1e-8, weight decay 0), gradients clipped to norm 1, shuffled, no packing, seed 0, a checkpoint every 100 steps of
 * which the last two are kept (when there is an `outputDir`).
 */
export type TrainOptions = z.input<typeof trainOptionsSchema>

export type TrainConfig = z.output<typeof trainOptionsSchema>

/**
 * A recipe as private steps take it: `privacy.clip` bounds gradients, and not `maxGradNorm`.
 * @param given - the options before their defaults.
 * @throws FedloraError `E_CONFIG` naming what private steps cannot have.
 */
function privateRecipe<R extends Pick<TrainConfig, 'packing' | 'shuffle' | 'maxGradNorm'>>(
  recipe: R,
  given: { maxGradNorm?: unknown } | undefined,
  where: string,
): R {
  const refuse = (field: keyof TrainConfig, why: string) => {
    throw new FedloraError('E_CONFIG', `${where}: ${field} and privacy exclude each other: ${why}`, {
      fields: [field, 'privacy'],
    })
  }
  if (recipe.packing)
    refuse('packing', 'which rows fit beside a row depends on them; batchSize is how many share a pass')
  if (!recipe.shuffle) refuse('shuffle', 'false is an order, and private steps draw rows at random')
  if (given?.maxGradNorm !== undefined && given.maxGradNorm !== 0) {
    refuse('maxGradNorm', "privacy.clip bounds every row's gradient; leave it out")
  }
  return { ...recipe, maxGradNorm: 0 }
}

/** @throws FedloraError `E_CONFIG`. */
export function parseTrainOptions(options: TrainOptions): TrainConfig {
  const config = parseOptions(trainOptionsSchema, options, 'train options')
  const both = (a: keyof TrainConfig, b: keyof TrainConfig) => {
    if (config[a] === undefined || config[b] === undefined) return
    throw new FedloraError('E_CONFIG', `train options: ${a} and ${b} exclude each other; give one of them`, {
      fields: [a, b],
    })
  }
  both('epochs', 'maxSteps')
  both('warmupSteps', 'warmupRatio')
  const folder = config.outputDir ?? config.resumeFrom
  const needs = (field: string, given: boolean, needed: string, there: boolean) => {
    if (!given || there) return
    throw new FedloraError('E_CONFIG', `train options: ${field} needs ${needed}`, { fields: [field, needed] })
  }
  const { evaluate, tensorboard } = config
  needs(
    'evaluate.best',
    evaluate?.best !== undefined,
    'outputDir, where the best adapter is kept',
    folder !== undefined,
  )
  needs('evaluate.patience', evaluate?.patience !== undefined, 'evaluate.every', evaluate?.every !== undefined)
  needs('tensorboard: true', tensorboard === true, 'outputDir, or a folder of its own', folder !== undefined)
  return config.privacy === undefined ? config : privateRecipe(config, options, 'train options')
}
