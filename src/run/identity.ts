/**
 * Who a run is: everything that decides its bits, in `config.json` of its folder. Two runs of equal identity, from equal adapters, end in
 * equal adapters; a run goes on only as the one that it was.
 */
import { join } from 'node:path'
import { FedloraError } from '../errors.js'
import { exists } from '../files/atomic.js'
import { firstDifference } from '../files/difference.js'
import { type Json, readJsonObject } from '../files/json.js'
import { packageVersion } from '../files/package.js'

/** Of `config.json`: raised when a field changes its meaning. */
const identityVersion = 2

export type Kind = 'train' | 'federation'

/** JSON: `kind`, `version`, what the run is asked to do and upon what, and `origin`, which decides nothing. */
export interface Identity extends Json {
  kind: Kind
  version: number
  origin: { modelPath: string; isa: string; fedlora: string }
}

/** What an identity says of an adapter and of the model below it. */
export interface Described {
  readonly config: { readonly targetModules?: unknown }
  readonly targets: readonly string[]
  readonly length: number
  readonly model: {
    readonly path: string
    readonly config: Readonly<Record<'family' | 'hidden' | 'layers' | 'vocabulary', unknown>>
    readonly options: { readonly threads?: unknown }
  }
}

/**
 * The identity of a run over `adapter` that is asked for what `request` says.
 * @param isa - the instruction set it begins on: the last bits depend on it.
 */
export function identityOf(kind: Kind, adapter: Described, isa: string, request: Json): Identity {
  const { model } = adapter
  const { threads: _, ...format } = model.options
  const { targetModules: __, ...config } = adapter.config
  const { family, hidden, layers, vocabulary } = model.config
  const identity = {
    kind,
    version: identityVersion,
    model: { family, hidden, layers, vocabulary, ...format },
    adapter: { ...config, targets: adapter.targets, length: adapter.length },
    ...request,
    origin: { modelPath: model.path, isa, fedlora: packageVersion() },
  }
  return JSON.parse(JSON.stringify(identity)) as Identity
}

/** A schedule as JSON: its name and parameters, or the text of its function. */
export function describeSchedule(schedule: unknown): unknown {
  return typeof schedule === 'function' ? { function: String(schedule) } : (schedule ?? null)
}

/** `value` without the fields at `paths`, such as `options.epochs`. */
function without(value: Json, paths: readonly string[]): Json {
  const copy = structuredClone(value)
  for (const path of paths) {
    const fields = path.split('.')
    const last = fields.pop()!
    let inner: unknown = copy
    for (const field of fields) inner = Object(inner)[field]
    delete Object(inner)[last]
  }
  return copy
}

/**
 * The identity in a run folder, after it was found to be the same as `now`; undefined when it was never written.
 * @param mayDiffer - paths of fields that the caller judges: how long the run is.
 * @throws FedloraError `E_CHECKPOINT` when it is no such run, or another, naming the first thing that differs; `E_VERSION`.
 */
export async function findIdentity(
  folder: string,
  now: Identity,
  mayDiffer: readonly string[],
): Promise<Identity | undefined> {
  const path = join(folder, 'config.json')
  if (!(await exists(path))) return undefined
  const saved = (await readJsonObject(path, 'run folder')) as Identity
  if (saved.kind !== now.kind) {
    const what = now.kind === 'train' ? 'training run' : 'federation'
    throw new FedloraError('E_CHECKPOINT', `'${path}' is not the config of a ${what}; name the folder of one`, {
      folder,
    })
  }
  if (saved.version !== now.version) {
    throw new FedloraError(
      'E_VERSION',
      `'${path}': version ${saved.version}, expected ${now.version}; resume with the release that wrote it, or start a new run from its adapter`,
      { path, version: saved.version, expected: now.version },
    )
  }
  const aside = ['origin', ...mayDiffer]
  const difference = firstDifference(without(saved, aside), without(now, aside))
  if (difference === undefined) return saved
  const { path: field, a, b } = difference
  throw new FedloraError(
    'E_CHECKPOINT',
    `run folder '${folder}' was begun with ${field} = ${JSON.stringify(a)}, now it is ${JSON.stringify(b)}; ` +
      'resume with the same, or start a new run from its adapter',
    { folder, field, saved: a, now: b },
  )
}
