/** Opens everything that a federation works with. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FedloraError, isFedloraError } from '../../errors.js'
import { ioError } from '../../files/atomic.js'
import type { Adapter } from '../../model/adapter.js'
import type { Model } from '../../model/model.js'
import type { NativeAdapter } from '../../native/binding.js'
import type { RunContext } from '../../run/run.js'
import { preparing } from '../../training/progress.js'
import type { Chosen } from '../algorithms/algorithm.js'
import { OwnState } from '../client/own-state.js'
import { feedsBack } from '../client/upload.js'
import { clockSchema } from '../clock-options.js'
import { flopPerToken } from '../cost.js'
import { sendsDeltas } from '../download-options.js'
import type { EvaluationConfig } from '../evaluation-options.js'
import type { FederationEvent } from '../events.js'
import { noTotals, type Totals } from '../figures.js'
import { Ledger } from '../ledger.js'
import type { FederationConfig, FederationOptions } from '../options.js'
import { Budget, planPrivacy } from '../private-rounds.js'
import { cohortSize } from '../protocol/plan.js'
import { checkTerms, type SecureAggregationConfig, type Terms, termsOf } from '../secure-aggregation-options.js'
import { AdapterFile } from '../server/adapter-file.js'
import { checkRobust } from '../server/robust.js'
import { Server } from '../server/server.js'
import { openAttackers } from './attackers/open.js'
import { type Clients, type ClientsInput, namesOf, openClients } from './clients.js'
import { Clock } from './clock/clock.js'
import { openDevices } from './clock/devices.js'
import type { Closers } from './closers.js'
import { CohortDraw } from './cohort.js'
import { planConcurrency } from './concurrency.js'
import { ErrorMeter } from './error-meter.js'
import { ExampleBudget, planExamples } from './example-privacy.js'
import { Fidelity } from './fidelity.js'
import { MaskedClients } from './masked-clients.js'
import { type Measurable, measurable } from './measure.js'
import { openLocals } from './overrides.js'
import { FederationRecord } from './record.js'
import { Slot, Spaces } from './spaces.js'
import { type FederationState, identify } from './state.js'
import type { RoundTools } from './tools.js'
import { WaitingAnswers } from './waiting.js'

/** What is asked for. */
export interface Request {
  config: FederationConfig
  chosen: Chosen
  /** As given: by name, by pattern, or by a function. */
  overrides: FederationOptions['overrides']
  model: Model
  adapter: Adapter
  clients: ClientsInput
  evaluation: EvaluationConfig | undefined
}

export interface Federation {
  /** The caller's adapter, held until the end. */
  values: NativeAdapter
  release(): void
  /** The adapter that the run began from. */
  initial: Float32Array
  totals: Totals
  /** Clients that can be measured on their own rows; none when nobody asks for it. */
  measurable: Measurable
  /** Indices of the clients whose work has counted in some round. */
  tookPart: Set<number>
  record: FederationRecord
  tools: RoundTools
}

/** Opens a federation; `closers` gets what must be closed again. */
export async function openFederation(
  { config, chosen, overrides, model, adapter, clients: input, evaluation }: Request,
  context: RunContext<FederationEvent>,
  closers: Closers,
): Promise<Federation> {
  const { native: values, release } = adapter.handle.acquire('simulate')
  closers.add(release)
  const honest = await openClients(input, model, preparing(context.signal, context.emit))
  adapter.promptFormat = honest.data(0).promptFormat ?? adapter.promptFormat
  const attackers = await openAttackers(config.attackers, honest, { model, seed: config.seed })
  const { clients } = attackers
  const cohort = clientsAtWork(config, clients)
  const names = namesOf(clients)
  checkRobust(config.robust, names, config.asynchronous?.buffer ?? cohort)
  const terms = config.secureAggregation && secureTerms(config.secureAggregation, config, chosen, clients, cohort)
  const locals = openLocals(config.local, overrides, clients)
  const toMeasure = measurable(clients, evaluation?.of)
  const { concurrency, mostTokens } = planConcurrency(adapter, clients, locals, cohort, config)
  const spaces = new Spaces(model, adapter, clients, chosen)
  const slots = Array.from({ length: concurrency }, () => closers.own(new Slot(spaces)))
  const clockOptions = config.clock ?? (config.asynchronous && clockSchema.parse({}))
  const devices = clockOptions && (await openDevices(clockOptions, config.seed, names))
  const clock = clockOptions && new Clock(clockOptions, devices!)
  const cohorts = new CohortDraw(config, clients, locals, clock, 4 * adapter.length)
  const identity = identify(adapter, clients, config, chosen, locals, evaluation, devices)
  const privacy = config.privacy?.level === 'client' ? planPrivacy(config.privacy, config, clients.length) : undefined
  const work = config.privacy?.level === 'example' ? planExamples(config.privacy, config, clients, locals) : undefined
  const { record, initial, checkpoint } = await FederationRecord.open(config, identity, values.read(), context)
  closers.add(() => record.close())
  const { state, vectors } = checkpoint ?? {}
  const place = { folder: record.path, done: state?.round ?? 0 }
  const ledger = config.privacy && (await Ledger.open(config.privacy, place))
  const budget =
    (privacy && new Budget(privacy, ledger!)) ?? (work && new ExampleBudget(config, work, clients, ledger!))
  const adapters = closers.own(await openAdapters(record.path))
  const server = closers.own(
    new Server({
      chosen,
      config: {
        ...config,
        segments: config.upload.segments,
        ...(privacy && { privateSum: privacy.sum, weighting: 'uniform' }),
      },
      placeOf: placesOf(clients),
      space: spaces.server,
      initial,
      population: clients.length,
      // Nobody but a client has its adapter where updates are masked.
      adapters: terms === undefined ? adapters : undefined,
      folders: record.path === undefined ? [] : [record.path],
      restored: state && { ...state, vectors: vectors! },
    }),
  )
  spaces.ranks = (index) => server.rankOf(clients.name(index))
  if (state?.time !== undefined) clock?.restore(state.time)
  const tools = {
    config,
    cohorts,
    clock,
    waiting: clock?.races || config.asynchronous ? await openWaiting(record.path, state, closers) : undefined,
    chosen,
    clients,
    attackers,
    locals,
    spaces,
    server,
    slots,
    mostTokens,
    flopPerToken: flopOf(adapter),
    fidelity: closers.own(new Fidelity(config.upload.codec === 'f32' && terms === undefined)),
    errors: new ErrorMeter(adapters),
    own: await openOwn(config, chosen, record.path, state, closers),
    masked: terms && new MaskedClients(server.masked!, terms, config.seed),
    outgoing: [],
    budget,
    work,
  }
  const totals = state?.totals ?? noTotals
  const tookPart = new Set(state?.tookPart)
  return { values, release, initial, totals, measurable: toMeasure, tookPart, record, tools }
}

/** What the secure aggregation of a federation agrees on; whether it can work is known before anything runs. */
function secureTerms(
  options: SecureAggregationConfig,
  { weighting }: FederationConfig,
  { algorithm }: Chosen,
  clients: Clients,
  cohort: number,
): Terms {
  const rows = () => Array.from({ length: clients.length }, (_, index) => clients.data(index).length)
  const equal = (algorithm.weighting ?? weighting) === 'uniform'
  const terms = termsOf(options, cohort, equal ? null : rows().reduce((most, count) => Math.max(most, count), 1))
  checkTerms(terms, cohort)
  return terms
}

/**
 * Clients that work from one version of the state.
 * @throws FedloraError `E_CONFIG` for more than there are, or a buffer that they never fill.
 */
function clientsAtWork({ cohort, asynchronous }: FederationConfig, clients: Clients): number {
  if (asynchronous === undefined) return cohortSize(cohort, clients.length)
  const { buffer, concurrency } = asynchronous
  const refuse = (key: string, got: number, most: number, what: string) => {
    const message = `asynchronous.${key}: got ${got}, expected at most ${most}, ${what}`
    throw new FedloraError('E_CONFIG', message, { [key]: got, most })
  }
  if (concurrency > clients.length) refuse('concurrency', concurrency, clients.length, 'the clients that there are')
  if (buffer > concurrency) refuse('buffer', buffer, concurrency, 'the clients at work (asynchronous.concurrency)')
  return concurrency
}

/** FLOP of a token that a client trains: the model's linear layers and its head, and the adapter. */
function flopOf({ model, length }: Adapter): number {
  const { hidden, vocabulary } = model.config
  const linears = model.handle.use('simulate').linears()
  return flopPerToken(
    linears.reduce((sum, { shape: [out, inputs] }) => sum + out * inputs, hidden * vocabulary),
    length,
  )
}

/** Places of names among all names, which are in ascending order. */
function placesOf(clients: Clients): (client: string) => number {
  const places = new Map(namesOf(clients).map((name, index) => [name, index]))
  return (client) => places.get(client)!
}

const cure = 'set TMPDIR to a folder that can be written, or give outputDir'

/** The file of the clients' adapters of a round: in the run folder, without one where the system keeps temporary files. */
async function openAdapters(folder: string | undefined): Promise<AdapterFile> {
  return await AdapterFile.create(folder === undefined ? [] : [folder]).catch((error: unknown) => {
    if (folder !== undefined || !isFedloraError(error, 'E_IO')) throw error
    throw new FedloraError('E_IO', `${error.message}; ${cure}`, error.details, error)
  })
}

/** Where clients keep what they keep; nowhere when they keep nothing. */
async function openOwn(
  { upload, download }: FederationConfig,
  chosen: Chosen,
  folder: string | undefined,
  state: FederationState | undefined,
  closers: Closers,
): Promise<OwnState | undefined> {
  const keeps = feedsBack(upload, chosen) || sendsDeltas(download) || (chosen.algorithm.keeps ?? []).length > 0
  if (!keeps) return undefined
  if (folder !== undefined) return await OwnState.open(join(folder, 'own'), state?.own)
  return await OwnState.open(await temporaryFolder('what clients keep', closers))
}

/** Where answers wait until they are due. */
async function openWaiting(folder: string | undefined, state: FederationState | undefined, closers: Closers) {
  if (folder !== undefined) return await WaitingAnswers.open(join(folder, 'waiting'), state?.time?.waiting)
  return await WaitingAnswers.open(await temporaryFolder('answers that wait', closers))
}

async function temporaryFolder(what: string, closers: Closers): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fedlora-own-')).catch((error: unknown) => {
    throw ioError(error, `cannot make a folder for ${what} in '${tmpdir()}'; ${cure}`)
  })
  closers.add(() => rm(folder, { recursive: true, force: true }))
  return folder
}
