/** What a federation leaves behind: its event log, checkpoints, residuals and adapter. Without a run folder it only tells events. */
import { join, resolve } from 'node:path'
import { z } from 'zod'
import { makeFolder } from '../../files/atomic.js'
import type { Adapter } from '../../model/adapter.js'
import { checkpointVersion, type Vectors } from '../../run/checkpoint.js'
import { failureEvent } from '../../run/failure.js'
import { findResumption, RunFolder, refuseUsedFolder } from '../../run/folder.js'
import type { Identity } from '../../run/identity.js'
import type { RunContext } from '../../run/run.js'
import { readSealed, writeSealed } from '../../run/sealed.js'
import { readVector, writeVector } from '../../run/vectors.js'
import type { Numbers } from '../algorithms/algorithm.js'
import type { FederationEvent } from '../events.js'
import type { Totals } from '../figures.js'
import type { FederationConfig } from '../options.js'
import type { Server } from '../server/server.js'
import { checkRounds, type FederationState, federationForm } from './state.js'
import type { RoundTools } from './tools.js'

export interface Opened {
  record: FederationRecord
  /** The adapter that the run began from. */
  initial: Float32Array
  checkpoint: { state: FederationState; vectors: Vectors } | undefined
}

export class FederationRecord {
  readonly #context: RunContext<FederationEvent>
  readonly #folder: RunFolder<FederationEvent, FederationState> | undefined
  #saved: number

  private constructor(
    context: RunContext<FederationEvent>,
    folder: RunFolder<FederationEvent, FederationState> | undefined,
    saved: number,
  ) {
    this.#context = context
    this.#folder = folder
    this.#saved = saved
  }

  /**
   * Opens the run folder that the options name, and gives the place from which the run goes on.
   * @param adapter - as it is now: what a run that begins begins from.
   * @throws FedloraError `E_ARGUMENT` when a new run's folder is taken; `E_CHECKPOINT`, `E_VERSION`, `E_IO`.
   */
  static async open(
    config: FederationConfig,
    identity: Identity,
    adapter: Float32Array,
    context: RunContext<FederationEvent>,
  ): Promise<Opened> {
    const place = config.resumeFrom ?? config.outputDir
    if (place === undefined) {
      return { record: new FederationRecord(context, undefined, -1), initial: adapter, checkpoint: undefined }
    }
    const path = resolve(place)
    const resumed = config.resumeFrom !== undefined
    if (!resumed) await refuseUsedFolder(path, federationForm)
    const found = resumed ? await findResumption(federationForm, path, undefined, identity, adapter.length) : undefined
    const checkpoint = found?.checkpoint
    if (checkpoint !== undefined) checkRounds(config, checkpoint.state)
    const initial = await beginFrom(path, adapter, found?.identity !== undefined)
    const folder = await RunFolder.open(path, federationForm, identity, found, context)
    return { record: new FederationRecord(context, folder, checkpoint?.state.round ?? -1), initial, checkpoint }
  }

  get path(): string | undefined {
    return this.#folder?.path
  }

  /** Writes an event down and tells it. */
  async tell(event: FederationEvent): Promise<void> {
    if (this.#folder === undefined) this.#context.emit(event)
    else await this.#folder.tell(event)
  }

  /** Writes the checkpoint of the server's round, once; the older ones go, and what it does not name of what clients keep. */
  async checkpoint(
    server: Server,
    rounds: number,
    totals: Totals,
    tookPart: ReadonlySet<number>,
    { own, clock, waiting }: Pick<RoundTools, 'own' | 'clock' | 'waiting'>,
  ): Promise<void> {
    const { round } = server
    if (this.#folder === undefined || round === 0 || this.#saved === round || !server.whole) return
    await own?.flush()
    await waiting?.flush()
    const time = clock && { now: clock.now, joules: clock.joules, waiting: waiting?.all ?? [] }
    const state = {
      round,
      rounds,
      totals,
      own: own?.entries ?? [],
      tookPart: [...tookPart].sort((a, b) => a - b),
      numbers: mutable(server.numbers),
      ...(time && { time }),
    }
    const path = await this.#folder.checkpoint(state, {
      ...server.state.vectors,
      ...server.moments,
      ...server.downloads,
    })
    await this.#folder.prune(() => [round])
    await own?.committed()
    await waiting?.committed()
    this.#saved = round
    this.#context.emit({ type: 'checkpoint', round, path: join(this.#folder.path, path) })
  }

  /** Writes the server's adapter as a PEFT folder. */
  async saveAdapter(adapter: Adapter, values: Float32Array): Promise<void> {
    if (this.#folder !== undefined) await adapter.write(join(this.#folder.path, 'adapter'), values)
  }

  /** The run failed: told, and the log's last line when it can be written. */
  async fail(error: unknown, round: number): Promise<void> {
    const event = { ...failureEvent(error), round }
    await this.#folder?.note(event).catch(() => {}) // the failure that matters is thrown
    this.#context.emit(event)
  }

  async close(): Promise<void> {
    await this.#folder?.close()
  }
}

const mutable = (numbers: Numbers) =>
  Object.fromEntries(Object.entries(numbers).map(([name, list]) => [name, [...list]]))

/** The vector that a run began from, where its baselines begin too: sealed, and written before the folder is a run's. */
async function beginFrom(path: string, adapter: Float32Array, begun: boolean): Promise<Float32Array> {
  const folder = join(path, 'initial')
  const file = 'adapter.f32'
  if (!begun) {
    await makeFolder(path)
    await writeSealed(folder, checkpointVersion, {}, (temporary) => writeVector(join(temporary, file), adapter))
    return adapter
  }
  await readSealed(folder, checkpointVersion, z.strictObject({}))
  return await readVector(join(folder, file))
}
