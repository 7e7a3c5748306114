/** The sections of a config file, from the schemas of the API, and what commands open from them. */
import { z } from 'zod'
import { type Dataset, datasetOptionsSchema, loadDataset } from '../data/index.js'
import { isFedloraError } from '../errors.js'
import { findModel } from '../files/model-source.js'
import type { Adapter } from '../model/adapter.js'
import { adapterOptionsSchema } from '../model/adapter-options.js'
import { loadModel } from '../model/load.js'
import type { Model } from '../model/model.js'
import { modelOptionsSchema } from '../model/model-options.js'
import { checkOutputFolder } from '../model/output-folder.js'
import { trainOptionsSchema } from '../training/options.js'
import type { Flag, FlagValues } from './arguments.js'
import { section, text } from './command.js'
import { UsageError } from './usage.js'

export const modelSchema = modelOptionsSchema
  .omit({ onProgress: true })
  .extend({ path: z.string().min(1).optional().describe('model folder, or id in the Hugging Face cache (or --model)') })

export const dataSchema = datasetOptionsSchema.extend({
  format: datasetOptionsSchema.shape.format
    .optional()
    .describe('how a row becomes prompt and completion (or --format)'),
  path: z.string().min(1).optional().describe('.jsonl, .json or .csv file (or --data)'),
})

export const evaluateSchema = dataSchema.extend({
  every: z.int().min(1).optional().describe('train: steps between evaluations; simulate: rounds; default: at the end'),
})

export const trainSchema = trainOptionsSchema.omit({ evaluate: true, signal: true })

export const modelFlag: Flag = {
  type: 'string',
  value: 'DIR',
  description: 'model folder, or id in the Hugging Face cache',
}
export const dataFlags: Record<'data' | 'format', Flag> = {
  data: { type: 'string', value: 'FILE', description: 'rows: .jsonl, .json or .csv' },
  format: { type: 'string', description: 'how a row is read', choices: datasetOptionsSchema.shape.format.options },
}

/** Sections of train, eval and generate: one config file serves all three. */
export const modelSections = async () => ({
  model: modelSchema,
  adapter: adapterOptionsSchema,
  data: dataSchema,
  train: trainSchema,
  evaluate: evaluateSchema,
})

type Config = Readonly<Record<string, unknown>>

/** The folder of `--output` for a model made from that of `--model`; one that must not be written to is a usage error. */
export async function openOutput(flags: FlagValues, doing: string, overwrite: boolean): Promise<string> {
  const { folder } = await findModel(text(flags, 'model')!)
  return await checkOutputFolder(text(flags, 'output')!, doing, overwrite, folder).catch((error) => {
    if (!isFedloraError(error, 'E_ARGUMENT')) throw error
    throw new UsageError(error.message, error.details, error.code, error)
  })
}

/** The model of the section `model` and `--model`. */
export async function openModel(flags: FlagValues, config: Config): Promise<Model> {
  const { path, ...options } = section(modelSchema, 'model', config, { path: text(flags, 'model') })
  if (path === undefined) throw new UsageError('no model: give --model DIR, or model.path in the config file')
  return await loadModel(path, options)
}

/** The adapter of `--adapter`, or a new one by the section `adapter`. */
export async function openAdapter(model: Model, flags: FlagValues, config: Config): Promise<Adapter> {
  const folder = text(flags, 'adapter')
  if (folder !== undefined) return await model.loadAdapter(folder)
  return model.createAdapter(section(adapterOptionsSchema, 'adapter', config))
}

/** The rows of the section `data`, `--data` and `--format`. */
export async function openData(model: Model, flags: FlagValues, config: Config): Promise<Dataset> {
  const { path, format, ...options } = section(dataSchema, 'data', config, {
    path: text(flags, 'data'),
    format: text(flags, 'format'),
  })
  if (path === undefined) throw new UsageError('no data: give --data FILE, or data.path in the config file')
  if (format === undefined) throw new UsageError('no format: give --format NAME, or data.format in the config file')
  return await loadDataset(path, { ...(format !== 'tokens' && { tokenizer: model }), ...options, format })
}

/** What to evaluate on: the section `evaluate`, whose missing options are those of `data`. */
export async function openEvaluation(
  model: Model,
  flags: FlagValues,
  config: Config,
): Promise<{ data: Dataset; every?: number } | undefined> {
  if (config.evaluate === undefined) return undefined
  const { every, ...own } = section(evaluateSchema, 'evaluate', config)
  if (own.path === undefined) throw new UsageError('evaluate: needs a path in the config file', {}, 'E_CONFIG')
  const written = config.evaluate as Config
  const shared = { ...(config.data as Config | undefined), limit: undefined }
  const merged = { ...shared, ...written, every: undefined }
  const data = await openData(model, { format: flags.format }, { data: defined(merged) })
  return { data, ...(every === undefined ? {} : { every }) }
}

function defined(values: Config): Config {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))
}

/** Tells what became of the rows, where something did. */
export function reportCounts(data: Dataset, note: (line: string) => void): void {
  const { truncated, skipped, unsupervised, empty } = data.counts
  if (truncated > 0)
    note(`${truncated} rows are longer than ${data.maxLength} tokens: cut, or left out where overlong is 'drop'`)
  if (skipped > 0) note(`${skipped} bad rows are left out`)
  if (empty > 0) note(`${empty} rows hold nothing to learn (a blank record or completion) and are left out`)
  if (unsupervised > 0) note(`${unsupervised} rows have no supervised token and teach nothing`)
}
