/**
 * The checkpoints of a run: `checkpoints/step-8/` or `checkpoints/round-3/`, each a sealed folder of flat vectors (`adapter.f32`, the
 * moments, …) and of what else the next step depends on.
 */
import { readdir, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import type { z } from 'zod'
import { FedloraError } from '../errors.js'
import { exists, ioError } from '../files/atomic.js'
import { readSealed, writeSealed } from './sealed.js'
import { readVector, writeVector } from './vectors.js'

/** Of all that a checkpoint holds: raised when the meaning of a field or file changes. */
export const checkpointVersion = 3

/** Named flat vectors; empty ones are not written. */
export type Vectors = Readonly<Record<string, Float32Array>>

export type Unit = 'step' | 'round'

/** What a checkpoint's number is called is a field of its state. */
export type Numbered = { readonly [unit in Unit]?: number }

/** Vectors as long as the adapter; what others are is their run's to judge. */
const ofAdapter = ['adapter', 'moment1', 'moment2']

const parent = 'checkpoints'
const suffix = '.f32'

/** A checkpoint's folder, relative to the run folder. */
export function checkpointName(unit: Unit, number: number): string {
  return `${parent}/${unit}-${number}`
}

/** A run folder, or one checkpoint inside it, as `resumeFrom` names it. */
export function resumeTarget(path: string, unit: Unit = 'step'): { folder: string; number: number | undefined } {
  const full = resolve(path)
  const number = numberOf(unit, basename(full))
  const inside = number !== undefined && basename(dirname(full)) === parent
  return inside ? { folder: dirname(dirname(full)), number } : { folder: full, number: undefined }
}

function numberOf(unit: Unit, name: string): number | undefined {
  const [, digits] = new RegExp(`^${unit}-(\\d+)$`).exec(name) ?? []
  return digits === undefined ? undefined : Number(digits)
}

async function entries(folder: string): Promise<string[]> {
  if (!(await exists(folder))) return []
  return await readdir(folder).catch((error: unknown) => {
    throw ioError(error, `cannot read '${folder}'`)
  })
}

/** The numbers of the checkpoints in a run folder, newest first. */
export async function listCheckpoints(folder: string, unit: Unit): Promise<number[]> {
  const names = await entries(join(folder, parent))
  return names.flatMap((name) => numberOf(unit, name) ?? []).sort((a, b) => b - a)
}

/** Writes a checkpoint at once or not at all. */
export async function writeCheckpoint(folder: string, unit: Unit, state: Numbered, vectors: Vectors): Promise<void> {
  await writeSealed(join(folder, checkpointName(unit, state[unit]!)), checkpointVersion, state, async (temporary) => {
    for (const [name, values] of Object.entries(vectors)) {
      if (values.length > 0) await writeVector(join(temporary, name + suffix), values)
    }
  })
}

/**
 * Reads a checkpoint of a run over an adapter of `length` values.
 * @throws FedloraError `E_CHECKPOINT` naming what is missing, damaged, edited or foreign, `E_VERSION` for another release's; `E_MISSING`,
 * `E_FORMAT`, `E_IO` when `state.json` cannot be read.
 */
export async function readCheckpoint<State extends Numbered>(
  folder: string,
  unit: Unit,
  number: number,
  schema: z.ZodType<State>,
  length: number,
): Promise<{ state: State; vectors: Vectors }> {
  const path = join(folder, checkpointName(unit, number))
  const { state, files } = await readSealed(path, checkpointVersion, schema)
  const refuse = (why: string, details: object = {}): never => {
    throw new FedloraError('E_CHECKPOINT', `checkpoint '${path}': ${why}`, { path, ...details })
  }
  if (state[unit] !== number) {
    const message = `it is of ${unit} ${state[unit]}, not of the ${unit} in its name; give the folder its name back`
    refuse(message, { [unit]: state[unit] })
  }
  const vectors: Record<string, Float32Array> = {}
  for (const file of files) vectors[basename(file, suffix)] = await readVector(join(path, file))
  for (const [name, values] of Object.entries({ adapter: new Float32Array(0), ...vectors })) {
    if (values.length === length || !ofAdapter.includes(name)) continue
    refuse(`it belongs to another adapter: '${name}' has ${values.length} values, expected ${length}`)
  }
  return { state, vectors }
}

/** Removes the checkpoints that are not kept, and what interrupted writers left. */
export async function pruneCheckpoints(folder: string, unit: Unit, kept: readonly number[]): Promise<void> {
  for (const name of await entries(join(folder, parent))) {
    const number = numberOf(unit, name)
    const useless = number === undefined ? name.endsWith('.tmp') : !kept.includes(number)
    if (useless) await rm(join(folder, parent, name), { recursive: true, force: true })
  }
}
