/**
 * A checkpoint: `adapter.safetensors` (the factors and the optimiser's moments, float32) and `state.json` (everything else that the
 * next step depends on). Written into a temporary folder, flushed, renamed.
 */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { FedloraError } from '../errors.js'
import { exists, hashFile, ioError, replaceFolder, syncPath } from '../files/atomic.js'
import { readJsonObject, writeJsonFile } from '../files/json.js'
import type { Adapter } from '../model/adapter.js'
import type { SessionState } from '../native/binding.js'
import { native } from '../native/load.js'

const count = z.int().min(0)

const evaluationSchema = z.strictObject({
  loss: z.number(),
  perplexity: z.number(),
  tokenAccuracy: z.number(),
  tokens: count,
})

const stateSchema = z.strictObject({
  version: z.literal(1),
  step: count,
  totalSteps: count,
  /** Where the next micro-batch begins. */
  cursor: z.strictObject({ epoch: count, position: count }),
  /** Optimiser updates: it numbers the dropout masks and AdamW's bias correction. */
  updates: count,
  /** Peak rate, name of the schedule and the factor of the last step. */
  schedule: z.strictObject({ name: z.string(), warmup: count, lastLearningRate: z.number() }),
  loss: z.number().nullable(),
  lossSum: z.number(),
  supervisedTokens: count,
  tokens: count,
  unsupervisedRows: count,
  evaluation: evaluationSchema.nullable(),
  /** Of `evaluate.best` and `evaluate.patience`. */
  best: evaluationSchema.extend({ step: count }).nullable().default(null),
  sinceBest: count.default(0),
  /** Lines of events.ndjson before this checkpoint's own. */
  lines: count,
  /** False when it was written because the run was told to end: such a one has no line. */
  announced: z.boolean(),
  /** False when the evaluation that is due at this step has not run yet. */
  evaluated: z.boolean(),
  /** SHA-256 of adapter.safetensors. */
  adapter: z.string(),
})

/** What `state.json` holds beside the hash of the tensors. */
export type RunState = Omit<z.output<typeof stateSchema>, 'adapter' | 'version'>

export interface Checkpoint {
  folder: string
  state: RunState
  values: Float32Array
  session: SessionState
}

const tensorFile = 'adapter.safetensors'
const moments = ['moment1', 'moment2'] as const

/** The name of a checkpoint's folder inside a run folder. */
export function checkpointName(step: number): string {
  return `checkpoints/step-${step}`
}

/** Writes a checkpoint of `step` atomically. */
export async function writeCheckpoint(
  runFolder: string,
  adapter: Adapter,
  values: Float32Array,
  session: SessionState,
  state: RunState,
): Promise<void> {
  const factors = adapter.layout.map(({ name, shape, offset, length }) => ({
    name,
    shape: [...shape],
    data: values.subarray(offset, offset + length),
  }))
  const kept = moments.filter((name) => session[name].length > 0)
  const extra = kept.map((name) => ({ name, shape: [session[name].length], data: session[name] }))
  await replaceFolder(join(runFolder, checkpointName(state.step)), async (temporary) => {
    const tensors = join(temporary, tensorFile)
    native().writeSafetensors(tensors, [...factors, ...extra], { format: 'fedlora-checkpoint' })
    await syncPath(tensors)
    await writeJsonFile(join(temporary, 'state.json'), { version: 1, ...state, adapter: await hashFile(tensors) })
  })
}

/** Steps of the checkpoints in a run folder, newest first. */
export async function listCheckpoints(runFolder: string): Promise<number[]> {
  const folder = join(runFolder, 'checkpoints')
  if (!(await exists(folder))) return []
  try {
    const steps = (await readdir(folder)).flatMap((name) => /^step-(\d+)$/.exec(name)?.[1] ?? []).map(Number)
    return steps.sort((a, b) => b - a)
  } catch (error) {
    throw ioError(error, `cannot read '${folder}'`)
  }
}

/** Removes all but the newest `keep` checkpoints, and first those out of the regular order, which an interruption left. */
export async function pruneCheckpoints(
  runFolder: string,
  keep: number,
  isRegular: (step: number) => boolean,
): Promise<void> {
  const steps = await listCheckpoints(runFolder)
  const regular = steps.filter(isRegular)
  const obsolete = [...steps.filter((step) => !isRegular(step)), ...regular.slice(keep)]
  for (const step of obsolete) await rm(join(runFolder, checkpointName(step)), { recursive: true, force: true })
  const folder = join(runFolder, 'checkpoints')
  const leftovers = (await readdir(folder)).filter((name) => name.endsWith('.tmp'))
  for (const name of leftovers) await rm(join(folder, name), { recursive: true, force: true })
}

function refuse(folder: string, why: string, details: Record<string, unknown> = {}, cause?: unknown): never {
  throw new FedloraError('E_CHECKPOINT', `checkpoint '${folder}': ${why}`, { folder, ...details }, cause)
}

/**
 * Reads a checkpoint back.
 * @throws FedloraError `E_CHECKPOINT` when it is damaged or belongs to another adapter.
 */
export async function readCheckpoint(folder: string, adapter: Adapter): Promise<Checkpoint> {
  const parsed = stateSchema.safeParse(await readJsonObject(join(folder, 'state.json'), 'checkpoint'))
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    refuse(folder, `state.json: ${issue.path.join('.')}: ${issue.message}`)
  }
  const { version: _, adapter: expected, ...state } = parsed.data
  const path = join(folder, tensorFile)
  if (!(await exists(path))) refuse(folder, `${tensorFile} is missing`)
  if ((await hashFile(path)) !== expected)
    refuse(folder, `${tensorFile} is damaged: its SHA-256 differs from state.json's`)
  const file = native().openCheckpoint([path])
  try {
    const names = new Set(file.tensors().map(({ name }) => name))
    const values = new Float32Array(adapter.length)
    for (const { name, offset, length } of adapter.layout) {
      if (!names.has(name)) refuse(folder, `it belongs to another adapter: it lacks '${name}'`)
      const data = file.read(name)
      if (data.length !== length)
        refuse(folder, `it belongs to another adapter: '${name}' has ${data.length} values, expected ${length}`)
      values.set(data, offset)
    }
    const foreign = [...names].filter(
      (name) => name.includes('.lora_') && !adapter.layout.some((entry) => entry.name === name),
    )
    if (foreign.length > 0) refuse(folder, `it belongs to another adapter: it holds '${foreign[0]}'`)
    const moment = (name: string) => (names.has(name) ? file.read(name) : new Float32Array(0))
    return {
      folder,
      state,
      values,
      session: { step: state.updates, moment1: moment('moment1'), moment2: moment('moment2') },
    }
  } finally {
    file.dispose()
  }
}
