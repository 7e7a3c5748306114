/** Opens everything that a federation works with. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Dataset } from '../../data/index.js'
import { ioError } from '../../files/atomic.js'
import { Adapter } from '../../model/adapter.js'
import type { Model } from '../../model/model.js'
import type { NativeAdapter } from '../../native/binding.js'
import type { RunContext } from '../../run/run.js'
import { preparing } from '../../training/progress.js'
import { ResidualStore } from '../client/residual-store.js'
import type { FederationEvent } from '../events.js'
import type { FederationConfig } from '../options.js'
import { cohortSize } from '../protocol/plan.js'
import { Broadcaster } from '../server/broadcast.js'
import { Collector } from '../server/collect.js'
import { Server } from '../server/server.js'
import { type ClientsInput, openClients } from './clients.js'
import type { Closers } from './closers.js'
import { planConcurrency } from './concurrency.js'
import { Fidelity } from './fidelity.js'
import { FederationRecord } from './record.js'
import type { RoundTools } from './round.js'
import { type FederationState, identify } from './state.js'

/** What is asked for. */
export interface Request {
  config: FederationConfig
  model: Model
  adapter: Adapter
  clients: ClientsInput
  evaluation: { data: Dataset; every: number } | undefined
}

export interface Federation {
  /** The caller's adapter, held until the end. */
  values: NativeAdapter
  release(): void
  /** The adapter that the run began from. */
  initial: Float32Array
  server: Server
  record: FederationRecord
  tools: RoundTools
}

/** Opens a federation; `closers` gets what must be closed again. */
export async function openFederation(
  { config, model, adapter, clients: input, evaluation }: Request,
  context: RunContext<FederationEvent>,
  closers: Closers,
): Promise<Federation> {
  const { native: values, release } = adapter.handle.acquire('simulate')
  closers.add(release)
  const { length } = adapter
  const clients = await openClients(input, model, preparing(context.signal, context.emit))
  adapter.promptFormat = clients.data(0).promptFormat ?? adapter.promptFormat
  const cohort = cohortSize(config.cohort, clients.length)
  const { concurrency, mostTokens } = planConcurrency(adapter, clients, cohort, config)
  const slots = Array.from({ length: concurrency }, () =>
    closers.own(new Adapter(model, adapter.config, adapter.targets)),
  )
  const identity = identify(adapter, clients, config, evaluation)
  const { record, initial, checkpoint } = await FederationRecord.open(config, identity, values.read(), context)
  closers.add(() => record.close())
  const { state, vectors } = checkpoint ?? {}
  const server = new Server(config.serverOptimizer, initial, state && { ...state, vectors: vectors! })
  const tools = {
    config,
    clients,
    slots,
    mostTokens,
    broadcaster: new Broadcaster(config.download.codec),
    collector: closers.own(new Collector(length)),
    fidelity: closers.own(new Fidelity(length, config.upload.codec === 'f32')),
    residuals: await openResiduals(config.upload, record.path, length, state, closers),
  }
  return { values, release, initial, server, record, tools }
}

async function openResiduals(
  { codec, errorFeedback }: FederationConfig['upload'],
  folder: string | undefined,
  length: number,
  state: FederationState | undefined,
  closers: Closers,
): Promise<ResidualStore | undefined> {
  if (codec === 'f32' || errorFeedback === false) return undefined
  if (folder !== undefined) {
    return await ResidualStore.open(join(folder, 'residuals'), length, new Map(state?.residuals))
  }
  const temporary = await mkdtemp(join(tmpdir(), 'fedlora-residuals-')).catch((error: unknown) => {
    const doing = `cannot make a folder for residuals in '${tmpdir()}'; set TMPDIR to a folder that can be written, or give outputDir`
    throw ioError(error, doing)
  })
  closers.add(() => rm(temporary, { recursive: true, force: true }))
  return await ResidualStore.open(temporary, length)
}
