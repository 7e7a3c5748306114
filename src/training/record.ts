/** What a run leaves behind: its event log, checkpoints, adapters and TensorBoard files. Without a run folder it only tells events. */
import { join, resolve } from 'node:path'
import { copyFileIfThere } from '../files/atomic.js'
import type { Adapter } from '../model/adapter.js'
import { checkpointName, resumeTarget, type Vectors } from '../run/checkpoint.js'
import { failureEvent, keepDespite } from '../run/failure.js'
import { findResumption, type Resumption, RunFolder, refuseUsedFolder } from '../run/folder.js'
import type { Identity } from '../run/identity.js'
import type { RunContext } from '../run/run.js'
import type { CheckpointEvent, ErrorEvent, TrainEvent } from './events.js'
import type { TrainConfig } from './options.js'
import { writeSpent } from './privacy-ledger.js'
import type { Spent } from './spending.js'
import { type TrainState, trainForm } from './state.js'
import { TensorBoard } from './tensorboard.js'

/** What a checkpoint holds, read when one is written. */
export interface Snapshot {
  state(): Omit<TrainState, 'eventBytes' | 'announced'>
  values(): Float32Array
  moments(): Vectors
  /** What a private run has spent. */
  spent(): Spent | undefined
}

/** A failure as an event. */
export function errorEvent(error: unknown, step: number): ErrorEvent {
  return { ...failureEvent(error), step }
}

/** The run folder of the options: a new one, or the one to go on in. */
export function outputFolder(config: TrainConfig): string | undefined {
  if (config.outputDir !== undefined) return resolve(config.outputDir)
  return config.resumeFrom === undefined ? undefined : resumeTarget(config.resumeFrom).folder
}

export class RunRecord {
  readonly path: string | undefined
  readonly #adapter: Adapter
  readonly #config: TrainConfig
  readonly #context: RunContext<TrainEvent>
  readonly #now: Snapshot
  #folder: RunFolder<TrainEvent, TrainState> | undefined
  #board: TensorBoard | undefined
  /** The newest checkpoint's step in the run folder, and the newest that has an event; −1: none. */
  #saved = -1
  #announced = -1

  constructor(adapter: Adapter, config: TrainConfig, context: RunContext<TrainEvent>, now: Snapshot) {
    this.path = outputFolder(config)
    this.#adapter = adapter
    this.#config = config
    this.#context = context
    this.#now = now
  }

  /** Where the run goes on, or undefined for one that begins. Changes nothing. */
  async find(identity: Identity): Promise<Resumption<TrainState> | undefined> {
    const { resumeFrom } = this.#config
    if (resumeFrom !== undefined) {
      const { folder, number } = resumeTarget(resumeFrom)
      return await findResumption(trainForm, folder, number, identity, this.#adapter.length)
    }
    if (this.path !== undefined) await refuseUsedFolder(this.path, trainForm)
    return undefined
  }

  /** Opens the run folder after the trainer has taken over what was found. */
  async open(identity: Identity, found: Resumption<TrainState> | undefined): Promise<void> {
    const { path } = this
    const { tensorboard } = this.#config
    const state = found?.checkpoint?.state
    if (path !== undefined) {
      if (state?.best && found!.folder !== path) await copyAdapter(join(found!.folder, 'best'), join(path, 'best'))
      const retold = state?.announced ? [checkpointEvent(state.step)] : []
      this.#folder = await RunFolder.open(path, trainForm, identity, found, this.#context, retold)
      this.#saved = state?.step ?? -1
      if (state?.announced) this.#announced = state.step
    }
    if (tensorboard !== false) {
      const place = tensorboard === true ? `${path}/tensorboard` : resolve(tensorboard)
      this.#board = await TensorBoard.open(place, state?.step ?? 0)
    }
    if (this.#saved < 0) await this.checkpoint()
  }

  /** Tells an event and writes it down. */
  async tell(event: TrainEvent): Promise<void> {
    if (this.#folder === undefined) this.#context.emit(event)
    else await this.#folder.tell(event)
    await this.#board?.add(event)
  }

  /** Writes a checkpoint without an event, unless there is one: the first one, or one because the run ends early. */
  async checkpoint(announced = false): Promise<void> {
    const state = this.#now.state()
    if (this.#folder === undefined || (this.#saved === state.step && !announced)) return
    const vectors = { adapter: this.#now.values(), ...this.#now.moments() }
    await this.#writeSpent()
    await this.#folder.checkpoint({ ...state, announced }, vectors)
    this.#saved = state.step
  }

  /** The checkpoint that is due at a step, and its event. @param isRegular - those that are kept, in contrast to what an interruption left. */
  async dueCheckpoint(isRegular: (step: number) => boolean): Promise<void> {
    const { step } = this.#now.state()
    if (this.#folder === undefined || this.#announced === step) return
    await this.checkpoint(true)
    this.#announced = step
    await this.tell(checkpointEvent(step))
    await this.#folder.prune((steps) => steps.filter(isRegular).slice(0, this.#config.keepCheckpoints))
  }

  /** Before anything that the steps made leaves the process: a spend that is only written afterwards can be forgotten. */
  async #writeSpent(): Promise<void> {
    const spent = this.#now.spent()
    if (spent !== undefined) await writeSpent(this.#folder!.path, spent)
  }

  /** Writes the adapter as a PEFT folder: `adapter`, or `best`. */
  async saveAdapter(name: 'adapter' | 'best' = 'adapter'): Promise<void> {
    if (this.#folder === undefined) return
    await this.#writeSpent()
    await this.#adapter.write(join(this.#folder.path, name), this.#now.values())
  }

  /** Keeps what can be kept of a run that fails, and gives the failure to end with; its event is the log's last line. */
  async fail(error: unknown): Promise<unknown> {
    const folder = this.#folder
    if (folder === undefined) return error
    const { step } = this.#now.state()
    const failure = await keepDespite(error, `the state after step ${step}`, [
      () => this.checkpoint(),
      () => this.saveAdapter(),
    ])
    await folder.note(errorEvent(failure, step)).catch(() => {}) // the failure that matters is thrown
    return failure
  }

  async close(): Promise<void> {
    await this.#folder?.close()
    await this.#board?.close()
  }
}

function checkpointEvent(step: number): CheckpointEvent {
  return { type: 'checkpoint', step, path: checkpointName('step', step) }
}

/** Takes the best adapter along when a run goes on in another folder. */
async function copyAdapter(from: string, to: string): Promise<void> {
  for (const file of ['adapter_model.safetensors', 'adapter_config.json']) {
    await copyFileIfThere(join(from, file), join(to, file))
  }
}
