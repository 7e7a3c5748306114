/** Options of a node that trains an adapter. */
import { z } from 'zod'
import { Dataset } from '../../data/dataset.js'
import { Adapter } from '../../model/adapter.js'
import type { AdapterOptions } from '../../model/adapter-options.js'
import { Model } from '../../model/model.js'
import { trainOptionsSchema } from '../../training/options.js'
import { nodeShape } from '../node/options.js'

/** What a round's training is: options of `train`, without those of a run that stands for itself. */
export const localTrainingSchema = trainOptionsSchema.omit({
  outputDir: true,
  resumeFrom: true,
  checkpointEvery: true,
  keepCheckpoints: true,
  tensorboard: true,
  evaluate: true,
  privacy: true,
  signal: true,
})

/** Options of local training that the server may set, and in which field of its configuration it does. */
export const followSchema = z.strictObject({
  learningRate: z.string().min(1).optional().describe('such as lr'),
  maxSteps: z.string().min(1).optional().describe('such as local-steps'),
  epochs: z.string().min(1).optional().describe('such as local-epochs'),
  batchSize: z.string().min(1).optional().describe('such as batch-size'),
})

export type Follow = z.output<typeof followSchema>

export const namesSchema = z.strictObject({
  train: z.string().min(1).default('train_loss').describe('mean loss of a training'),
  evaluate: z.string().min(1).default('eval_loss').describe('loss of an evaluation'),
  examples: z.string().min(1).default('num-examples').describe('rows: what the server weighs by'),
})

export type MetricNames = z.output<typeof namesSchema>

const dataset = z.custom<Dataset>((value) => value instanceof Dataset, 'expected a data set')

export const joinOptionsSchema = z.strictObject({
  ...nodeShape,
  model: z.custom<Model>((value) => value instanceof Model, 'expected a model').describe('the base model'),
  adapter: z
    .union([
      z.custom<Adapter>((value) => value instanceof Adapter, 'expected an adapter'),
      z.custom<AdapterOptions>((value) => typeof value === 'object' && value !== null, 'options of one'),
    ])
    .prefault({})
    .describe("an adapter of the model, or the options of one: rank and targetModules must be the server's"),
  data: dataset.describe('the rows to train on'),
  evaluation: dataset.optional().describe('the rows to evaluate on; default: those of data'),
  local: localTrainingSchema
    .prefault({})
    .describe("the training of a round: options of train; its seed and the server's round give the order of the rows"),
  follow: followSchema.prefault({}).describe('options of local that the server sets, and the fields in which it does'),
  metrics: namesSchema.prefault({}).describe('names of what is reported: the same for all clients of a federation'),
})

/** Options of `joinFlower`. */
export type FlowerJoinOptions = z.input<typeof joinOptionsSchema>
