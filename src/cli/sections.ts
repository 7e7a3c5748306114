/** The sections of a config file, from the schemas of the API, and the flags that stand for the most used fields. */
import { z } from 'zod'
import { datasetOptionsSchema } from '../data/index.js'
import { evaluationShape as federationEvaluationShape } from '../federated/evaluation-options.js'
import { adapterOptionsSchema } from '../model/adapter-options.js'
import { modelOptionsSchema } from '../model/model-options.js'
import { evaluationShape, trainOptionsSchema } from '../training/options.js'
import type { Flag } from './arguments.js'

export const modelSchema = modelOptionsSchema.omit({ onProgress: true }).extend({
  path: z.string().min(1).optional().describe('model folder, or id in the Hugging Face cache (or --model)'),
  adapter: z.string().min(1).optional().describe('PEFT adapter folder to start from (or --adapter)'),
})

const paths = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)])

export const dataSchema = datasetOptionsSchema.extend({
  format: datasetOptionsSchema.shape.format
    .optional()
    .describe('how a row becomes prompt and completion (or --format)'),
  path: paths.optional().describe('rows: a file, a folder or a pattern, or a list of them (or --data)'),
  validation: z
    .number()
    .gt(0)
    .lt(1)
    .optional()
    .describe('share of the rows kept back for evaluation, drawn by train.seed (or --validation)'),
})

const heldOutSchema = dataSchema.omit({ validation: true })

/** What to evaluate on in a federation. */
export const federationEvaluateSchema = heldOutSchema.extend({
  every: z.int().min(1).optional().describe('rounds between evaluations; default: only at the end'),
  ...federationEvaluationShape,
})

/** What to evaluate on, and when, in a training run; `fedlora eval` takes the rows of it. */
export const evaluateSchema = heldOutSchema.extend(evaluationShape)

export const trainSchema = trainOptionsSchema.omit({ evaluate: true, signal: true })

export const modelFlag: Flag = {
  type: 'string',
  value: 'DIR',
  description: 'model folder, or id in the Hugging Face cache',
}

export const deviceFlag: Flag = {
  type: 'string',
  value: 'DEVICE',
  description: 'where the model runs: cpu, cuda or cuda:N (default: model.device of the config file, or cpu)',
}

/** An adapter that is used as it is. */
export const adapterFlag: Flag = {
  type: 'string',
  value: 'DIR',
  description: 'PEFT adapter folder; without it the base model alone',
}

export const dataFlags: Record<'data' | 'format', Flag> = {
  data: {
    type: 'string',
    value: 'FILE',
    description: 'rows: a file, a folder or a pattern (may be repeated)',
    multiple: true,
  },
  format: { type: 'string', description: 'how a row is read', choices: datasetOptionsSchema.shape.format.options },
}

/** The flags of a command that makes a run. */
export const runFlags: Record<'adapter' | 'output' | 'resume' | 'validation', Flag> = {
  adapter: { type: 'string', value: 'DIR', description: 'PEFT adapter folder to start from; without it a new adapter' },
  output: {
    type: 'string',
    value: 'DIR',
    description: 'run folder: config.json, recipe.json, events.ndjson, adapter/, checkpoints/',
  },
  resume: {
    type: 'string',
    value: 'RUN_FOLDER',
    description: 'continue a run from its last checkpoint; the folder knows its model, data and options',
  },
  validation: { type: 'number', value: 'SHARE', description: 'share of the rows kept back for evaluation' },
}

/** Sections of train, eval and generate: one config file serves all three. */
export const modelSections = async () => ({
  model: modelSchema,
  adapter: adapterOptionsSchema,
  data: dataSchema,
  train: trainSchema,
  evaluate: evaluateSchema,
})
