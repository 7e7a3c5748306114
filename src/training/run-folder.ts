/** A run's folder: what it was asked to do (`config.json`), and finding the place from which a run goes on. */
import { readFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import type { Dataset } from '../data/dataset.js'
import { FedloraError, isFedloraError } from '../errors.js'
import { exists } from '../files/atomic.js'
import { type Json, readJsonObject, writeJsonFile } from '../files/json.js'
import type { Adapter } from '../model/adapter.js'
import { native } from '../native/load.js'
import { readLines } from '../run/event-log.js'
import { type Checkpoint, checkpointName, listCheckpoints, readCheckpoint } from './checkpoint.js'
import type { TrainConfig } from './options.js'

/** Everything that decides the bits of a run. Two runs of equal description, from equal adapters, end in equal adapters. */
export function describeRun(adapter: Adapter, data: Dataset, config: TrainConfig, totalSteps: number): Json {
  const { outputDir, resumeFrom, signal, memoryBudget, checkpointEvery, keepCheckpoints, tensorboard, ...rest } = config
  const { evaluate, ...recipe } = rest
  const { model } = adapter
  const { threads: _, ...format } = model.options
  const { targetModules: __, ...adapterConfig } = adapter.config
  const { schedule } = recipe
  return {
    kind: 'train',
    version: 1,
    totalSteps,
    options: { ...recipe, schedule: typeof schedule === 'function' ? { function: String(schedule) } : schedule },
    model: {
      family: model.config.family,
      hidden: model.config.hidden,
      layers: model.config.layers,
      vocabulary: model.config.vocabulary,
      ...format,
    },
    adapter: { ...adapterConfig, targets: adapter.targets },
    data: { fingerprint: data.fingerprint, rows: data.length, format: data.format, maxLength: data.maxLength },
    evaluate: evaluate === undefined ? null : describeEvaluation(evaluate),
  }
}

function describeEvaluation({ data, every, best }: NonNullable<TrainConfig['evaluate']>): Json {
  return { fingerprint: data.fingerprint, every: every ?? null, ...(best === undefined ? {} : { best }) }
}

function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

/** Writes `config.json`: the description, and where things came from. */
export async function writeRunConfig(folder: string, description: Json, adapter: Adapter): Promise<void> {
  const { isa } = native().info()
  await writeJsonFile(join(folder, 'config.json'), {
    ...description,
    modelPath: adapter.model.path,
    isa,
    fedlora: packageVersion(),
  })
}

/** The path and the two values of the first difference between two JSON values, or undefined. */
export function firstDifference(
  a: unknown,
  b: unknown,
  path = '',
): { path: string; a: unknown; b: unknown } | undefined {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) {
    return Object.is(a, b) ? undefined : { path, a, b }
  }
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const found = firstDifference((a as Json)[key], (b as Json)[key], path === '' ? key : `${path}.${key}`)
    if (found !== undefined) return found
  }
  return undefined
}

/** Where a run goes on: the checkpoint (none: from the beginning) and the lines of events.ndjson that stand. */
export interface Resumption {
  checkpoint: Checkpoint | undefined
  lines: string[]
  warnings: string[]
  /** Steps that the run was to do when it was begun, or continued last; undefined when that is not known. */
  totalSteps: number | undefined
}

/** The run folder and, when one checkpoint of it was named, that one's step. */
export function resumeTarget(path: string): { folder: string; step: number | undefined } {
  const full = resolve(path)
  const named = /^step-(\d+)$/.exec(basename(full))
  if (named !== null && basename(dirname(full)) === 'checkpoints') {
    return { folder: dirname(dirname(full)), step: Number(named[1]) }
  }
  return { folder: full, step: undefined }
}

/** A description without what says how long the run is: that may change where the learning rates so far stay what they were. */
function withoutLength(description: Json): Json {
  const { totalSteps: _, options, ...rest } = description
  const { epochs: __, maxSteps: ___, ...recipe } = options as Json
  return { ...rest, options: recipe }
}

/**
 * Refuses to resume what is not the same run.
 * @throws FedloraError `E_CHECKPOINT` naming the first thing that differs.
 */
async function checkSameRun(folder: string, description: Json): Promise<Pick<Resumption, 'warnings' | 'totalSteps'>> {
  const path = join(folder, 'config.json')
  if (!(await exists(path))) return { warnings: [], totalSteps: undefined }
  const { modelPath: _, isa, fedlora: __, ...saved } = await readJsonObject(path, 'run folder')
  const now = JSON.parse(JSON.stringify(description)) as Json
  if (saved.kind !== now.kind || typeof saved.options !== 'object' || saved.options === null) {
    throw new FedloraError('E_CHECKPOINT', `'${path}' is not the config of a training run; name the folder of one`, {
      folder,
    })
  }
  const difference = firstDifference(withoutLength(saved), withoutLength(now))
  if (difference !== undefined) {
    const { path: field, a, b } = difference
    throw new FedloraError(
      'E_CHECKPOINT',
      `run folder '${folder}' was made with ${field} = ${JSON.stringify(a)}, now it is ${JSON.stringify(b)}; ` +
        'resume with the same, or start a new run from its adapter',
      { field, saved: a, now: b },
    )
  }
  const here = native().info().isa
  return {
    warnings:
      isa === here
        ? []
        : [
            `the run was begun on ${String(isa)} and goes on on ${here}: the last bits will differ from an unbroken run`,
          ],
    totalSteps: typeof saved.totalSteps === 'number' ? saved.totalSteps : undefined,
  }
}

/** The lines of the log that stand at a checkpoint, or undefined when the log is shorter than the checkpoint says. */
function linesAt(checkpoint: Checkpoint, lines: readonly string[]): string[] | undefined {
  const { state } = checkpoint
  if (lines.length < state.lines) return undefined
  const kept = lines.slice(0, state.lines)
  if (!state.announced) return kept
  const own = lines[state.lines]
  const event = { type: 'checkpoint', step: state.step, path: checkpointName(state.step) }
  const stands = own !== undefined && (JSON.parse(own) as Json).type === 'checkpoint'
  return [...kept, stands ? own : JSON.stringify({ ...event, time: new Date().toISOString() })]
}

/**
 * Finds the newest checkpoint that is whole and that the event log reaches.
 * @throws FedloraError `E_CHECKPOINT` when there is nothing to resume, or it is another run.
 */
export async function findResumption(path: string, adapter: Adapter, description: Json): Promise<Resumption> {
  const { folder, step } = resumeTarget(path)
  if (!(await exists(folder))) {
    throw new FedloraError(
      'E_CHECKPOINT',
      `resumeFrom: '${folder}' does not exist; check the path, or start without resumeFrom`,
      { folder },
    )
  }
  const { warnings, totalSteps } = await checkSameRun(folder, description)
  const lines = await readLines(folder)
  const steps = step === undefined ? await listCheckpoints(folder) : [step]
  for (const candidate of steps) {
    try {
      const checkpoint = await readCheckpoint(join(folder, checkpointName(candidate)), adapter)
      const kept = linesAt(checkpoint, lines)
      if (kept !== undefined) return { checkpoint, lines: kept, warnings, totalSteps }
      throw new FedloraError(
        'E_CHECKPOINT',
        `events.ndjson has ${lines.length} whole lines, fewer than checkpoint ${candidate} counted`,
      )
    } catch (error) {
      if (candidate === steps.at(-1) || !isFedloraError(error)) throw error
      warnings.push(`checkpoint ${candidate} was passed over: ${error.message}`)
    }
  }
  warnings.push(`'${folder}' holds no checkpoint yet: the run starts from its beginning`)
  return { checkpoint: undefined, lines: [], warnings, totalSteps }
}

/** What a run writes, in the order in which it is looked for. */
const written = ['config.json', 'adapter', 'best', 'checkpoints']

/**
 * Refuses to start a new run in a folder that holds one, or something that the run would overwrite.
 * @throws FedloraError `E_ARGUMENT` (`details.holds`: 'run', or the name of what is in the way).
 */
export async function refuseUsedFolder(folder: string): Promise<void> {
  if (await exists(join(folder, 'events.ndjson'))) {
    throw new FedloraError(
      'E_ARGUMENT',
      `outputDir: '${folder}' already holds a run; continue it with resumeFrom, or choose another folder`,
      { folder, holds: 'run' },
    )
  }
  for (const name of written) {
    const path = join(folder, name)
    if (!(await exists(path)) || (name === 'config.json' && (await isRunConfig(path)))) continue
    throw new FedloraError(
      'E_ARGUMENT',
      `outputDir: '${folder}' holds '${name}', which a run would overwrite; choose a new or an empty folder`,
      { folder, holds: name },
    )
  }
}

/** True for the config.json of a run that ended before its first event. */
async function isRunConfig(path: string): Promise<boolean> {
  return await readJsonObject(path, 'run folder').then(
    ({ kind }) => kind === 'train',
    () => false,
  )
}
