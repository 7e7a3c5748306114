/**
 * The rows that a command line and its config ask for: a plan, checked before anything is read; then the rows; then, when the model is there,
 * their tokens.
 */
import { existsSync } from 'node:fs'
import type { z } from 'zod'
import { fitToModel } from '../data/fit.js'
import { type Dataset, loadDataset } from '../data/index.js'
import type { DataProgress } from '../data/progress.js'
import { FedloraError } from '../errors.js'
import type { Model } from '../model/model.js'
import type { FlagValues } from './arguments.js'
import { type Config, section } from './command.js'
import type { Output } from './output.js'
import { dataSchema, type evaluateSchema, type federationEvaluateSchema } from './sections.js'
import { UsageError } from './usage.js'

type DataOptions = Omit<z.output<typeof dataSchema>, 'path' | 'format' | 'validation'>

export interface DataPlan {
  paths: string[]
  format: NonNullable<z.output<typeof dataSchema>['format']>
  /** Share of the rows kept back. */
  validation: number | undefined
  options: DataOptions
}

/** @throws FedloraError `E_MISSING` for a file that is not there. */
export function checkFiles(paths: readonly string[]): void {
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

/** When to evaluate and what follows, in a run or in a federation. */
type When = Partial<
  Pick<z.output<typeof evaluateSchema>, 'every' | 'batchTokens' | 'best' | 'patience'> &
    Pick<z.output<typeof federationEvaluateSchema>, 'of' | 'fineTune'>
>

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
  // Clients are measured on rows of their own.
  if (own.path === undefined && 'of' in when && Object.keys(rows).length === 0) return { data: undefined, when }
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
export function keepBack(data: Dataset, share: number | undefined, seed: number): RunRows {
  if (share === undefined) return { train: data }
  const { train, validation } = data.split({ validation: share, seed })
  if (train.length > 0 && validation.length > 0) return { train, held: validation }
  const empty = validation.length === 0 ? 'evaluate on' : 'train on'
  throw new UsageError(`data.validation: ${share} of ${data.length} rows leaves none to ${empty}`, {}, 'E_CONFIG')
}

/** The rows to train on, and those to evaluate on: of the section `evaluate`, or kept back. */
export interface RunRows {
  train: Dataset
  held?: Dataset | undefined
}

/** Reads the rows of a run. */
export async function readRows(
  plan: DataPlan,
  evaluation: EvaluationPlan | undefined,
  seed: number,
  output: Output,
): Promise<RunRows> {
  const rows = keepBack(await readData(plan, output), plan.validation, seed)
  return evaluation?.data === undefined ? rows : { train: rows.train, held: await readData(evaluation.data, output) }
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

/** The rows of a run as the model takes them; what became of those to train on is told. */
export async function fitRows({ train, held }: RunRows, model: Model, output: Output): Promise<RunRows> {
  const rows = { train: await withModel(train, model, output), held: held && (await withModel(held, model, output)) }
  reportCounts(rows.train, (line) => output.note(line))
  return rows
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
