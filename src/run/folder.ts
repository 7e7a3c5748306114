/**
 * A run's folder: `config.json` (who it is), `events.ndjson` (what happened), `checkpoints/` (from where it can go on), `adapter/` (what
 * came of it).
 */
import { join } from 'node:path'
import type { z } from 'zod'
import { FedloraError, isFedloraError } from '../errors.js'
import { exists, makeFolder } from '../files/atomic.js'
import { readJsonObject, writeJsonFile } from '../files/json.js'
import {
  checkpointName,
  listCheckpoints,
  type Numbered,
  pruneCheckpoints,
  readCheckpoint,
  type Unit,
  type Vectors,
  writeCheckpoint,
} from './checkpoint.js'
import { EventLog, logReaches } from './event-log.js'
import { findIdentity, type Identity, type Kind } from './identity.js'
import type { RunContext } from './run.js'

/** What the runs of one kind have in common. */
export interface RunForm<State extends Stated> {
  kind: Kind
  unit: Unit
  state: z.ZodType<State>
  /** Paths in the identity of what may differ when a run goes on: how long it is. */
  length: readonly string[]
  /** What a run writes beside `config.json`, `adapter` and `checkpoints`. */
  writes: readonly string[]
  /** Whether an older checkpoint does when the newest is damaged; otherwise that is refused. */
  older: boolean
}

/** Of every checkpoint's state. */
export interface Stated extends Numbered {
  /** Bytes of the event log before it. */
  eventBytes: number
}

/** The place from which a run goes on. */
export interface Resumption<State> {
  folder: string
  /** None: from the beginning. */
  checkpoint: { state: State; vectors: Vectors } | undefined
  /** As it was begun; undefined when it was stopped before that was written. */
  identity: Identity | undefined
  warnings: string[]
}

/**
 * Refuses to begin a run in a folder that holds one, or something that the run would overwrite.
 * @throws FedloraError `E_ARGUMENT` (`details.holds`: 'run', or the name of what is in the way).
 */
export async function refuseUsedFolder(folder: string, { kind, writes }: Pick<RunForm<never>, 'kind' | 'writes'>) {
  if (await exists(join(folder, 'events.ndjson'))) {
    throw new FedloraError(
      'E_ARGUMENT',
      `outputDir: '${folder}' already holds a run; continue it with resumeFrom, or choose another folder`,
      { folder, holds: 'run' },
    )
  }
  for (const name of ['config.json', 'adapter', 'checkpoints', ...writes]) {
    const path = join(folder, name)
    if (!(await exists(path)) || (name === 'config.json' && (await isConfigOf(kind, path)))) continue
    throw new FedloraError(
      'E_ARGUMENT',
      `outputDir: '${folder}' holds '${name}', which a run would overwrite; choose a new or an empty folder`,
      { folder, holds: name },
    )
  }
}

/** True for the config.json of a run that ended before its first event. */
async function isConfigOf(kind: Kind, path: string): Promise<boolean> {
  return await readJsonObject(path, 'run folder').then(
    (config) => config.kind === kind,
    () => false,
  )
}

/**
 * Finds the newest checkpoint that is whole and that the event log reaches, or the one with `number`. Changes nothing.
 * @throws FedloraError `E_CHECKPOINT` when there is nothing to resume, it is another run, or what it goes on from is damaged; `E_VERSION`.
 */
export async function findResumption<State extends Stated>(
  form: RunForm<State>,
  folder: string,
  number: number | undefined,
  now: Identity,
  length: number,
): Promise<Resumption<State>> {
  if (!(await exists(folder))) {
    throw new FedloraError(
      'E_CHECKPOINT',
      `resumeFrom: '${folder}' does not exist; check the path, or start without resumeFrom`,
      { folder },
    )
  }
  const { unit } = form
  const identity = await findIdentity(folder, now, form.length)
  const warnings: string[] = []
  const found = number === undefined ? await listCheckpoints(folder, unit) : [number]
  if (identity === undefined && found.length > 0) {
    throw new FedloraError('E_CHECKPOINT', `run folder '${folder}' has lost its config.json; put it back`, { folder })
  }
  if (identity !== undefined && identity.origin?.isa !== now.origin.isa) {
    warnings.push(
      `the run was begun on ${identity.origin?.isa} and goes on on ${now.origin.isa}: the last bits will differ from an unbroken run`,
    )
  }
  for (const candidate of found) {
    try {
      const checkpoint = await readCheckpoint(folder, unit, candidate, form.state, length)
      if (await logReaches(folder, checkpoint.state.eventBytes)) return { folder, checkpoint, identity, warnings }
      throw new FedloraError(
        'E_CHECKPOINT',
        `'${join(folder, 'events.ndjson')}' is shorter than checkpoint ${candidate} says`,
        { folder },
      )
    } catch (error) {
      if (!form.older || candidate === found.at(-1) || !isFedloraError(error)) throw error
      warnings.push(`checkpoint ${candidate} was passed over: ${error.message}`)
    }
  }
  warnings.push(`'${folder}' holds no checkpoint yet: the run starts from its beginning`)
  return { folder, checkpoint: undefined, identity, warnings }
}

/** The folder of a run under way. */
export class RunFolder<E extends object, State extends Stated> {
  readonly path: string
  readonly #form: RunForm<State>
  readonly #log: EventLog<E>
  readonly #context: RunContext<E>

  private constructor(path: string, form: RunForm<State>, log: EventLog<E>, context: RunContext<E>) {
    this.path = path
    this.#form = form
    this.#log = log
    this.#context = context
  }

  /**
   * Opens `path` for a run that begins, or goes on from what was found, in its own folder or in another.
   * @param retold - events that belong behind the checkpoint's place in the log; nobody is told.
   */
  static async open<E extends object, State extends Stated>(
    path: string,
    form: RunForm<State>,
    identity: Identity,
    found: Resumption<State> | undefined,
    context: RunContext<E>,
    retold: readonly E[] = [],
  ): Promise<RunFolder<E, State>> {
    await makeFolder(path)
    await writeJsonFile(join(path, 'config.json'), identity)
    const log = await RunFolder.#openLog<E, State>(path, form, found)
    for (const event of retold) await log.append(event)
    context.logTo(log.path, log.bytes)
    return new RunFolder(path, form, log, context)
  }

  static async #openLog<E extends object, State extends Stated>(
    path: string,
    { kind, unit }: RunForm<State>,
    found: Resumption<State> | undefined,
  ): Promise<EventLog<E>> {
    if (found?.checkpoint === undefined) return await EventLog.begin<E>(path, kind)
    const { state, vectors } = found.checkpoint
    const log = await EventLog.resume<E>(path, state.eventBytes, found.folder)
    if (found.folder !== path) await writeCheckpoint(path, unit, state, vectors)
    return log
  }

  /** Writes an event down, then tells it. */
  async tell(event: E): Promise<void> {
    await this.#log.append(event)
    this.#context.emit(event, this.#log.bytes)
  }

  /** Writes an event down that is told otherwise, and flushes it. */
  async note(event: E): Promise<void> {
    await this.#log.append(event)
    await this.#log.sync()
  }

  /** Writes a checkpoint, with the events up to here; gives its folder. */
  async checkpoint(state: Omit<State, 'eventBytes'>, vectors: Vectors): Promise<string> {
    await this.#log.sync()
    const { unit } = this.#form
    await writeCheckpoint(this.path, unit, { ...state, eventBytes: this.#log.bytes }, vectors)
    return checkpointName(unit, (state as Numbered)[unit]!)
  }

  /** Removes all checkpoints but those that `choose` picks. */
  async prune(choose: (newestFirst: number[]) => readonly number[]): Promise<void> {
    const { unit } = this.#form
    await pruneCheckpoints(this.path, unit, choose(await listCheckpoints(this.path, unit)))
  }

  async close(): Promise<void> {
    await this.#log.close()
  }
}
