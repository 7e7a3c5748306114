/**
 * What a command line and its config ask for, in two steps: plans are made and checked before anything is loaded, so that a mistake shows
 * at once and is a usage error; then they are opened, rows before the model, which takes longest.
 */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { z } from 'zod'
import { fitToModel } from '../data/fit.js'
import { type Dataset, loadDataset } from '../data/index.js'
import type { DataProgress } from '../data/progress.js'
import { listed } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import { findModel } from '../files/model-source.js'
import type { Adapter } from '../model/adapter.js'
import { adapterOptionsSchema } from '../model/adapter-options.js'
import { readModelConfig } from '../model/config.js'
import { loadModel } from '../model/load.js'
import type { Model } from '../model/model.js'
import { checkBaseFormat } from '../model/model-options.js'
import { checkOutputFolder } from '../model/output-folder.js'
import type { FlagValues } from './arguments.js'
import { type Config, section, text, usage } from './command.js'
import type { Output } from './output.js'
import { dataSchema, type evaluateSchema, type federationEvaluateSchema, modelSchema } from './sections.js'
import { UsageError } from './usage.js'

export interface ModelPlan {
  path: string
  /** A PEFT folder to start from; undefined: a new adapter, or none. */
  adapter: string | undefined
  options: Omit<z.output<typeof modelSchema>, 'path' | 'adapter'>
}

/** The model of the section `model`, `--model` and `--adapter`. */
export async function planModel(flags: FlagValues, config: Config): Promise<ModelPlan> {
  const given = { path: text(flags, 'model'), adapter: text(flags, 'adapter') }
  const { path, adapter, ...options } = section(modelSchema, 'model', config, given)
  if (path === undefined) throw new UsageError('no model: give --model DIR, or model.path in the config file')
  await usage(() => checkBaseFormat(options, 'model'))
  if (adapter !== undefined) await findModel(adapter, 'adapter')
  return { path, adapter, options }
}

/** The folder of `--output` for a model made from that of `--model`; one that must not be written to is a usage error. */
export async function openOutput(flags: FlagValues, doing: string, overwrite: boolean): Promise<string> {
  const { folder } = await findModel(text(flags, 'model')!)
  return await usage(() => checkOutputFolder(text(flags, 'output')!, doing, overwrite, folder))
}

/** Loads the model, telling how far that is; first, data sets that cannot fit it are refused. */
export async function loadPlanned(
  { path, options }: ModelPlan,
  output?: Output,
  ...data: readonly (Dataset | undefined)[]
): Promise<Model> {
  if (data.length > 0) {
    const { maxPositions } = await readModelConfig((await findModel(path)).folder)
    await usage(() => {
      for (const rows of data) rows?.checkLength(maxPositions)
    })
  }
  output?.phase('loading model')
  const onProgress = ({ loaded, total }: { loaded: number; total: number }) => {
    const percent = `${Math.floor((100 * loaded) / total)} %`
    const event = { phase: 'loading model', done: loaded, total }
    output?.status({ label: `loading model ${percent}`, event })
  }
  try {
    const model = await loadModel(path, { ...options, onProgress })
    const unused = model.unusedTensors
    if (unused.length > 0)
      output?.note(`the model has no use for ${unused.length} of the stored tensors: ${listed(unused)}`)
    return model
  } finally {
    output?.endProgress()
  }
}

/** The adapter of the plan, or a new one by the section `adapter`. */
export async function openAdapter(model: Model, plan: ModelPlan, config: Config, output: Output): Promise<Adapter> {
  if (plan.adapter === undefined) return model.createAdapter(section(adapterOptionsSchema, 'adapter', config))
  if (config.adapter !== undefined)
    output.note(`the section adapter is for new adapters; '${plan.adapter}' has its own`)
  return await model.loadAdapter(plan.adapter)
}

type DataOptions = Omit<z.output<typeof dataSchema>, 'path' | 'format' | 'validation'>

export interface DataPlan {
  paths: string[]
  format: NonNullable<z.output<typeof dataSchema>['format']>
  /** Share of the rows kept back. */
  validation: number | undefined
  options: DataOptions
}

/** @throws FedloraError `E_MISSING` for a file that is not there. */
function checkFiles(paths: readonly string[]): void {
  for (const path of paths) {
    if (existsSync(path) || /[*?[\]{}]/.test(path)) continue
    throw new FedloraError('E_MISSING', `data: '${path}' does not exist`, { path })
  }
}

/** The rows of the section `data`, `--data`, `--format` and `--validation`. */
export function planData(flags: FlagValues, config: Config): DataPlan {
  const given = { path: flags.data, format: flags.format, validation: flags.validation }
  const { path, format, validation, ...options } = section(dataSchema, 'data', config, given)
  if (path === undefined) throw new UsageError('no data: give --data FILE, or data.path in the config file')
  if (format === undefined) throw new UsageError('no format: give --format NAME, or data.format in the config file')
  const paths = [path].flat()
  checkFiles(paths)
  return { paths, format, validation, options }
}

/** When to evaluate; a federation knows only `every`. */
type When = Partial<Pick<z.output<typeof evaluateSchema>, 'every' | 'batchTokens' | 'best' | 'patience'>>

export interface EvaluationPlan {
  /** Undefined: the share of the training rows that is kept back. */
  data: DataPlan | undefined
  when: When
}

/**
 * What to evaluate on: rows of their own, which the section `evaluate` names (its missing options are those of `data`), or the share of the
 * training rows that `data.validation` keeps back.
 */
export function planEvaluation(
  schema: typeof evaluateSchema | typeof federationEvaluateSchema,
  flags: FlagValues,
  config: Config,
  data?: DataPlan,
): EvaluationPlan | undefined {
  if (config.evaluate === undefined) return data?.validation === undefined ? undefined : { data: undefined, when: {} }
  const own = section(schema as typeof evaluateSchema, 'evaluate', config)
  const written = config.evaluate as Record<string, unknown>
  const rowFields = Object.keys(dataSchema.shape)
  const rows = Object.fromEntries(Object.entries(written).filter(([key]) => rowFields.includes(key)))
  const when = Object.fromEntries(Object.entries(own).filter(([key]) => !rowFields.includes(key))) as When
  if (data?.validation !== undefined) {
    const [field] = Object.keys(rows)
    if (field === undefined) return { data: undefined, when }
    throw new UsageError(
      `evaluate.${field} and data.validation (--validation) exclude each other: rows of their own, or a share of the training rows`,
      {},
      'E_CONFIG',
    )
  }
  if (own.path === undefined) {
    throw new UsageError(
      'evaluate: needs path, or data.validation (--validation SHARE) for a share of the training rows',
      {},
      'E_CONFIG',
    )
  }
  const shared = { ...(config.data as Config | undefined), limit: undefined, validation: undefined }
  const merged = Object.fromEntries(Object.entries({ ...shared, ...rows }).filter(([, value]) => value !== undefined))
  return { data: planData({ format: flags.format }, { data: merged }), when }
}

/** Reads the rows; they are tokenised later, when the model is there. */
export async function readData(plan: DataPlan, output: Output): Promise<Dataset> {
  output.phase('reading data')
  try {
    const source = plan.paths.length === 1 ? plan.paths[0]! : plan.paths
    const onProgress = (progress: DataProgress) => output.measure(progress)
    return await loadDataset(source, { ...plan.options, format: plan.format, onProgress })
  } catch (error) {
    // Options are the command line's fault, rows are not.
    throw error instanceof FedloraError && error.code === 'E_CONFIG'
      ? new UsageError(error.message, error.details, error.code, error)
      : error
  } finally {
    output.endProgress()
  }
}

/** The rows to train on, and those kept back for evaluation. */
export function keepBack(data: Dataset, share: number | undefined, seed: number): { train: Dataset; held?: Dataset } {
  if (share === undefined) return { train: data }
  const { train, validation } = data.split({ validation: share, seed })
  if (train.length > 0 && validation.length > 0) return { train, held: validation }
  const empty = validation.length === 0 ? 'evaluate on' : 'train on'
  throw new UsageError(`data.validation: ${share} of ${data.length} rows leaves none to ${empty}`, {}, 'E_CONFIG')
}

/** The data set as the model takes it: tokenised, and fitted to its positions. */
export async function withModel(data: Dataset, model: Model, output: Output): Promise<Dataset> {
  try {
    return await fitToModel(data, model, {
      onProgress: (progress) => output.measure(progress),
      onWarning: (message) => output.note(message),
    })
  } finally {
    output.endProgress()
  }
}

/** Tells what became of the rows, where something did. */
export function reportCounts(data: Dataset, note: (line: string) => void): void {
  const { truncated, skipped, unsupervised, empty } = data.counts
  if (truncated > 0)
    note(`${truncated} rows are longer than ${data.maxLength} tokens: cut, or left out where overlong is 'drop'`)
  if (skipped > 0) note(`${skipped} bad rows are left out`)
  if (empty > 0) note(`${empty} rows hold nothing to learn (a blank record or completion) and are left out`)
  if (unsupervised > 0) note(`${unsupervised} rows have no supervised token and teach nothing`)
  for (const line of data.warnings) note(line)
}

/** A place on disk as an absolute path; what is no place, such as a model's name, as it stands. */
export function absolute(path: string): string {
  return existsSync(path) || /[*?]/.test(path) ? resolve(path) : path
}
