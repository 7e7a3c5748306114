/** What a run leaves behind: its event log, checkpoints, adapters and TensorBoard files. Without a run folder it only tells events. */
import { resolve } from 'node:path'
import { FedloraError, isFedloraError } from '../errors.js'
import { copyFileIfThere } from '../files/atomic.js'
import type { Adapter } from '../model/adapter.js'
import type { SessionState } from '../native/binding.js'
import { EventLog } from '../run/event-log.js'
import type { RunContext } from '../run/run.js'
import { checkpointName, pruneCheckpoints, type RunState, writeCheckpoint } from './checkpoint.js'
import type { ErrorEvent, TrainEvent } from './events.js'
import type { TrainConfig } from './options.js'
import { findResumption, type Resumption, refuseUsedFolder, resumeTarget, writeRunConfig } from './run-folder.js'
import { TensorBoard } from './tensorboard.js'

/** What a checkpoint holds, read when one is written. */
export interface Snapshot {
  readonly state: RunState
  values(): Float32Array
  session(): SessionState
}

/** A failure as an event. */
export function errorEvent(error: unknown, step: number): ErrorEvent {
  const { code, message, details } = isFedloraError(error)
    ? error.toJSON()
    : new FedloraError('E_INTERNAL', error instanceof Error ? error.message : String(error)).toJSON()
  return { type: 'error', step, code, message, details }
}

/** True when a run ends with `error` because its caller's signal fired: that is no failure. */
export function isAbortOf(context: Pick<RunContext<never>, 'aborted' | 'signal'>, error: unknown): boolean {
  return context.aborted && error === context.signal.reason && !isFedloraError(error)
}

/** The run folder of the options: a new one, or the one to go on in. */
export function outputFolder(config: TrainConfig): string | undefined {
  if (config.outputDir !== undefined) return resolve(config.outputDir)
  return config.resumeFrom === undefined ? undefined : resumeTarget(config.resumeFrom).folder
}

export class RunRecord {
  readonly folder: string | undefined
  readonly #adapter: Adapter
  readonly #config: TrainConfig
  readonly #context: RunContext<TrainEvent>
  readonly #now: Snapshot
  #log: EventLog | undefined
  #board: TensorBoard | undefined
  /** The newest checkpoint's step in the run folder, and the newest that has an event; −1: none. */
  #saved = -1
  #announced = -1

  constructor(adapter: Adapter, config: TrainConfig, context: RunContext<TrainEvent>, now: Snapshot) {
    this.folder = outputFolder(config)
    this.#adapter = adapter
    this.#config = config
    this.#context = context
    this.#now = now
  }

  /** Where the run goes on, or undefined for one that begins. Changes nothing. */
  async find(description: Record<string, unknown>): Promise<Resumption | undefined> {
    const { resumeFrom } = this.#config
    if (resumeFrom !== undefined) return await findResumption(resumeFrom, this.#adapter, description)
    if (this.folder !== undefined) await refuseUsedFolder(this.folder)
    return undefined
  }

  /** Opens the run folder after the trainer has taken over what was found. */
  async open(description: Record<string, unknown>, found: Resumption | undefined): Promise<void> {
    const { resumeFrom, tensorboard } = this.#config
    const { folder } = this
    const state = found?.checkpoint?.state
    if (folder !== undefined) {
      if (state?.announced) this.#announced = state.step
      if (state !== undefined && resumeTarget(resumeFrom!).folder === folder) this.#saved = state.step
      else if (state?.best) await copyAdapter(resumeTarget(resumeFrom!).folder, folder)
      await writeRunConfig(folder, description, this.#adapter)
      this.#log = await EventLog.open(folder, found?.lines ?? [])
      this.#context.logTo(this.#log.path, this.#log.bytes)
    }
    if (tensorboard !== false) {
      const place = tensorboard === true ? `${folder}/tensorboard` : resolve(tensorboard)
      this.#board = await TensorBoard.open(place, state?.step ?? 0)
    }
    if (this.#saved < 0) await this.checkpoint()
  }

  /** Tells an event and writes it down. */
  async tell(event: TrainEvent): Promise<void> {
    await this.#log?.append(event)
    await this.#board?.add(event)
    this.#context.emit(event, this.#log?.bytes)
  }

  /** Writes a checkpoint without an event, unless there is one: the first one, or one because the run ends early. */
  async checkpoint(announced = false): Promise<void> {
    if (this.folder === undefined || this.#log === undefined) return
    const { state } = this.#now
    const { step } = state
    if (this.#saved === step && !announced) return
    await this.#log.sync()
    const told = this.#announced === step // a run that goes on in another folder: its line is there already
    const lines = this.#log.lines - (told ? 1 : 0)
    const written = { ...state, lines, announced: announced || told }
    await writeCheckpoint(this.folder, this.#adapter, this.#now.values(), this.#now.session(), written)
    this.#saved = step
  }

  /** The checkpoint that is due at a step, and its event. @param isRegular - those that are kept, in contrast to what an interruption left. */
  async dueCheckpoint(isRegular: (step: number) => boolean): Promise<void> {
    const { step } = this.#now.state
    if (this.folder === undefined || this.#announced === step) return
    await this.checkpoint(true)
    this.#announced = step
    await this.tell({ type: 'checkpoint', step, path: checkpointName(step) })
    await pruneCheckpoints(this.folder, this.#config.keepCheckpoints, isRegular)
  }

  /** Writes the adapter as a PEFT folder: `adapter`, or `best`. */
  async saveAdapter(name: 'adapter' | 'best' = 'adapter'): Promise<void> {
    if (this.#log !== undefined) await this.#adapter.write(`${this.folder}/${name}`, this.#now.values())
  }

  /** Keeps what can be kept when the run fails. What fails meanwhile must not hide the first failure: it is told in its details. */
  async fail(error: unknown): Promise<void> {
    if (this.#log === undefined) return
    const alsoFailed: string[] = []
    const attempt = async (work: () => Promise<void>) => {
      await work().catch((other) => alsoFailed.push((other as Error).message))
    }
    await attempt(() => this.checkpoint())
    await attempt(() => this.saveAdapter())
    if (alsoFailed.length > 0 && isFedloraError(error)) Object.assign(error.details, { alsoFailed })
    const { step } = this.#now.state
    await attempt(() => this.#log!.append(errorEvent(error, step)))
    await attempt(() => this.#log!.sync())
  }

  async close(): Promise<void> {
    await this.#log?.close()
    await this.#board?.close()
  }
}

/** Takes the best adapter along when a run goes on in another folder. */
async function copyAdapter(from: string, to: string): Promise<void> {
  for (const file of ['adapter_model.safetensors', 'adapter_config.json']) {
    await copyFileIfThere(`${from}/best/${file}`, `${to}/best/${file}`)
  }
}
