/**
 * A federation in one process: one frozen base shared by all clients, who train one after another or several in one pass, encode
 * their updates as they would for a network, and have them decoded and averaged by the streaming aggregator.
 *
 * Memory: the packed model, one adapter and one training session for each client at work at the same time, and a fixed number
 * of vectors of the adapter's length. What must be remembered of a client lies in files.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Dataset } from '../../data/index.js'
import { describeValue } from '../../errors/describe.js'
import { FedloraError, isFedloraError } from '../../errors.js'
import { type EvaluationResult, evaluate } from '../../evaluation/evaluate.js'
import { ioError } from '../../files/atomic.js'
import { Adapter } from '../../model/adapter.js'
import type { AdapterOptions } from '../../model/adapter-options.js'
import { Model } from '../../model/model.js'
import { native } from '../../native/load.js'
import { parseOptions } from '../../options/parse.js'
import { Run, type RunContext } from '../../run/run.js'
import { checkExtension } from '../../training/extension.js'
import { preparing } from '../../training/progress.js'
import { errorEvent, isAbortOf } from '../../training/record.js'
import { type Schedule, scheduleFactor } from '../../training/schedule.js'
import { ResidualStore } from '../client/residual-store.js'
import type { BaselineReport, FederationEvent, FederationResult } from '../events.js'
import { type FederationConfig, type FederationOptions, federationSchema } from '../options.js'
import { cohortSize } from '../protocol/plan.js'
import { createServerOptimizer } from '../server-step/step.js'
import { runBaselines } from './baselines.js'
import { type Clients, type ClientsInput, fingerprint, openClients } from './clients.js'
import { planConcurrency } from './concurrency.js'
import { runRound } from './round.js'
import { type FederationState, RunFolder, type Totals } from './run-folder.js'

export interface SimulateOptions extends FederationOptions {
  model: Model
  /** An adapter to continue (it is changed), or the options of a new one. Default: a new one with the default options. */
  adapter?: Adapter | AdapterOptions
  clients: ClientsInput
  /** What the adapter is judged by, every so many rounds (0: only after the last) and at the end. */
  evaluate?: { data: Dataset; every?: number }
  signal?: AbortSignal
}

interface Request {
  config: FederationConfig
  model: Model
  adapter: Adapter
  clients: ClientsInput
  evaluation: { data: Dataset; every: number } | undefined
}

const noTotals: Totals = {
  bytesUp: 0,
  bytesUpRaw: 0,
  bytesDown: 0,
  bytesDownRaw: 0,
  tokens: 0,
  steps: 0,
  trainSeconds: 0,
  loss: null,
}

function describeSchedule(schedule: Schedule | undefined): unknown {
  return typeof schedule === 'function' ? { function: String(schedule) } : (schedule ?? null)
}

/** What must be the same for a run to be continued. */
function storedConfig(request: Request, clients: Clients): Record<string, unknown> {
  const { config, model, adapter, evaluation } = request
  const {
    outputDir: _output,
    resumeFrom: _resume,
    concurrency: _concurrency,
    checkpointEvery: _every,
    ...federation
  } = config
  const { targetModules: _targets, ...adapterConfig } = adapter.config
  const { threads: _threads, ...format } = model.options
  return {
    kind: 'federation',
    version: 1,
    model: {
      family: model.config.family,
      hidden: model.config.hidden,
      layers: model.config.layers,
      vocabulary: model.config.vocabulary,
      ...format,
    },
    adapter: { ...adapterConfig, targets: adapter.targets, length: adapter.length },
    clients: { count: clients.length, fingerprint: fingerprint(clients) },
    federation: {
      ...federation,
      local: { ...federation.local, schedule: describeSchedule(federation.local.schedule) },
      baselineSchedule: describeSchedule(federation.baselineSchedule),
    },
    evaluate: evaluation === undefined ? null : { fingerprint: evaluation.data.fingerprint, every: evaluation.every },
    origin: { modelPath: model.path, isa: native().info().isa },
  }
}

/** A federation may grow as a training run may; baselines have the budget of all its rounds, so that with them it may not. */
function checkRounds(config: FederationConfig, done: number, before: number): void {
  const { rounds, local, baselines } = config
  if (before !== rounds && baselines.length > 0) {
    throw new FedloraError(
      'E_CHECKPOINT',
      `the run was begun with ${before} rounds and its baselines have their budget; resume with ${before} rounds, or start a new run`,
      { field: 'federation.rounds', saved: before, now: rounds },
    )
  }
  const horizon = (steps: number) => ({ steps, warmup: 0, peak: local.learningRate })
  checkExtension({ unit: 'round', done, before, now: rounds, schedule: local.schedule, horizon })
}

/** Everything a run opens, so that it is closed in one place whatever happens. */
class Session {
  readonly request: Request
  readonly context: RunContext<FederationEvent>
  readonly #closers: (() => unknown)[] = []

  constructor(request: Request, context: RunContext<FederationEvent>) {
    this.request = request
    this.context = context
  }

  onClose(close: () => unknown): void {
    this.#closers.push(close)
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close()
  }
}

async function federate(session: Session): Promise<FederationResult> {
  const { request, context } = session
  const { config, model, adapter, evaluation } = request
  const held = adapter.handle.acquire('simulate')
  session.onClose(held.release)
  const clients = await openClients(request.clients, model, preparing(context.signal, context.emit))
  adapter.promptFormat = clients.data(0).promptFormat ?? adapter.promptFormat
  const cohort = cohortSize(config.cohort, clients.length)
  const { concurrency, mostTokens } = planConcurrency(adapter, clients, cohort, config)
  const slots = Array.from({ length: concurrency }, () => {
    const slot = new Adapter(model, adapter.config, adapter.targets)
    session.onClose(() => slot.dispose())
    return slot
  })

  let initial = held.native.read()
  let folder: RunFolder | undefined
  let state: FederationState | undefined
  const place = config.resumeFrom ?? config.outputDir
  if (place !== undefined) {
    const stored = storedConfig(request, clients)
    const resumed =
      config.resumeFrom === undefined
        ? undefined
        : await RunFolder.resume(resolve(place), stored, (done, before) => checkRounds(config, done, before))
    if (resumed) ({ folder, state, initial } = resumed)
    else folder = await RunFolder.create(resolve(place), stored, initial)
  }
  if (folder) session.onClose(() => folder!.close())

  const vector = (state?.adapter ?? initial).slice()
  if (vector.length !== adapter.length) {
    throw new FedloraError(
      'E_CHECKPOINT',
      `the checkpoint holds an adapter of ${vector.length} values, expected ${adapter.length}`,
    )
  }
  const server = createServerOptimizer(config.serverOptimizer, vector.length, state?.server)
  const totals: Totals = { ...(state?.totals ?? noTotals) }
  const residuals = await openResiduals(session, folder, vector.length, state)
  const sent = native().createAggregator(vector.length)
  session.onClose(() => sent.dispose())
  const exact = config.upload.codec === 'f32' ? undefined : native().createAggregator(vector.length)
  session.onClose(() => exact?.dispose())

  const tell = async (event: FederationEvent): Promise<void> => {
    await folder?.log(event)
    context.emit(event)
  }
  let saved = state?.round ?? -1
  const checkpoint = async (round: number): Promise<void> => {
    if (!folder || saved === round) return
    await residuals?.flush()
    const path = await folder.checkpoint({
      round,
      adapter: vector,
      server: server.state,
      residuals: new Map(residuals?.index),
      totals,
    })
    await residuals?.committed()
    saved = round
    context.emit({ type: 'checkpoint', round, path })
  }
  const judge = async (round: number): Promise<EvaluationResult | null> => {
    if (!evaluation) return null
    slots[0]!.setVector(vector)
    const result = await evaluate(slots[0]!, evaluation.data, { signal: context.signal })
    await tell({ type: 'evaluation', round, ...result })
    return result
  }

  const tools = { config, clients, slots, mostTokens, sent, exact, residuals, signal: context.signal }
  let done = state?.round ?? 0
  let measured: EvaluationResult | null = null
  const baselines: BaselineReport[] = []
  let stopped = false
  try {
    while (done < config.rounds) {
      context.signal.throwIfAborted()
      const round = done + 1
      const peak = config.local.learningRate
      const factor = scheduleFactor(config.local.schedule, done, { steps: config.rounds, warmup: 0, peak })
      const { mean, event } = await runRound(
        { ...tools, onClient: (report) => context.emit({ type: 'client', round, ...report }) },
        vector,
        round,
        peak * factor,
      )
      await residuals?.endRound()
      if (mean) server.step(vector, mean)
      done = round
      addTo(totals, event)
      await tell(event)
      const every = evaluation?.every ?? 0
      if (every > 0 && round % every === 0 && round < config.rounds) await judge(round)
      if (round % config.checkpointEvery === 0 || round === config.rounds) await checkpoint(round)
    }
    measured = await judge(done)
    for await (const report of runBaselines({
      config,
      clients,
      adapter: slots[0]!,
      initial,
      evaluation: evaluation?.data,
      folder: folder?.path,
      signal: context.signal,
      onStep: (name, step, steps, loss, tokensPerSecond) =>
        context.emit({ type: 'baseline-step', name, step, steps, loss, tokensPerSecond }),
    })) {
      baselines.push(report)
      await tell({ type: 'baseline', ...report })
    }
    await tell({ type: 'done', rounds: done })
  } catch (error) {
    stopped = context.signal.aborted && !context.aborted
    const failure = await keepLastRound(error, done, [
      async () => done > 0 && (await checkpoint(done)),
      async () => folder && (await adapter.write(join(folder.path, 'adapter'), vector)),
    ])
    if (failure !== error || !(stopped || isAbortOf(context, error))) {
      const { step: round, ...told } = errorEvent(failure, done)
      await folder?.log({ ...told, round }).catch(() => {})
      context.emit({ ...told, round })
      throw failure
    }
    if (!stopped) throw error
  } finally {
    held.native.write(vector)
  }
  held.release()
  if (folder) await adapter.save(join(folder.path, 'adapter'))
  const { trainSeconds, ...sums } = totals
  return {
    rounds: done,
    concurrency,
    ...sums,
    tokensPerSecond: trainSeconds > 0 ? totals.tokens / trainSeconds : 0,
    evaluation: measured,
    baselines,
    adapter,
    folder: folder?.path ?? null,
  }
}

/** Whatever ended the run, its last complete round is kept. Gives the failure to end with: the first, which a later one must not hide. */
async function keepLastRound(
  error: unknown,
  round: number,
  works: readonly (() => Promise<unknown>)[],
): Promise<unknown> {
  let failure = error
  for (const work of works) {
    await work().catch((second: unknown) => {
      if (failure === error) failure = bothFailures(error, second, round)
    })
  }
  return failure
}

/** A run that failed, and whose last round could then not be kept: the first failure stays the message, the second is told with it. */
function bothFailures(first: unknown, second: unknown, round: number): unknown {
  const lost = `the state after round ${round} could not be kept: ${(second as Error).message}`
  // An abort is no failure: what went wrong is the second.
  if (!isFedloraError(first)) {
    return new FedloraError(isFedloraError(second) ? second.code : 'E_IO', lost, { round }, first)
  }
  return new FedloraError(first.code, `${first.message}; and ${lost}`, { ...first.details, notKept: lost }, first)
}

function addTo(totals: Totals, event: Extract<FederationEvent, { type: 'round' }>): void {
  totals.bytesUp += event.bytesUp
  totals.bytesUpRaw += event.bytesUpRaw
  totals.bytesDown += event.bytesDown
  totals.bytesDownRaw += event.bytesDownRaw
  totals.tokens += event.tokens
  totals.steps += event.clients.reduce((sum, client) => sum + client.steps, 0)
  totals.trainSeconds += event.seconds.train
  if (event.loss !== null) totals.loss = event.loss
}

async function openResiduals(
  session: Session,
  folder: RunFolder | undefined,
  length: number,
  state: FederationState | undefined,
): Promise<ResidualStore | undefined> {
  const { codec, errorFeedback } = session.request.config.upload
  if (codec === 'f32' || errorFeedback === false) return undefined
  if (folder) return await ResidualStore.open(join(folder.path, 'residuals'), length, state?.residuals)
  const temporary = await mkdtemp(join(tmpdir(), 'fedlora-residuals-')).catch((error: unknown) => {
    const doing = `cannot make a folder for residuals in '${tmpdir()}'; set TMPDIR to a folder that can be written, or give outputDir`
    throw ioError(error, doing)
  })
  session.onClose(() => rm(temporary, { recursive: true, force: true }))
  return await ResidualStore.open(temporary, length)
}

function checkObjects(options: SimulateOptions): void {
  if (!(options.model instanceof Model)) {
    throw new FedloraError(
      'E_ARGUMENT',
      `simulate: model: got ${describeValue(options.model)}, expected a loaded model`,
    )
  }
  if (options.adapter instanceof Adapter && options.adapter.model !== options.model) {
    throw new FedloraError('E_ARGUMENT', 'simulate: the adapter belongs to another model')
  }
}

/**
 * Simulates a federation. The run starts at once; iterate it for its events, await it for its result. `break` stops it after
 * the step in flight and keeps the last complete round.
 *
 * Downloads are counted for every member of the cohort as encoded by `download.codec` (float32 unless told otherwise), uploads
 * as the encoded messages of those that answered.
 * @throws FedloraError `E_CONFIG`, `E_ARGUMENT` at once; the run rejects with `E_DATA`, `E_CHECKPOINT`, `E_IO`, `E_NONFINITE`
 * (naming round and client), `E_DISPOSED`, `E_BUSY`, or the signal's reason.
 * @example
 * ```ts
 * const model = await loadModel('SmolLM2-135M-Instruct', { quantization: 'nf4' })
 * const data = await loadDataset('notes.jsonl', { format: 'alpaca', tokenizer: model })
 * const clients = split(data, { by: 'iid', clients: 3, seed: 1 })
 * const run = simulate({ model, adapter: { rank: 8 }, clients, rounds: 2, local: { steps: 1, batchSize: 2 } })
 * for await (const event of run) if (event.type === 'round') console.log(event.round, event.loss)
 * const { adapter } = await run
 * ```
 */
export function simulate(options: SimulateOptions): Run<FederationEvent, FederationResult> {
  const { model, adapter, clients, evaluate: evaluation, signal, ...rest } = options
  checkObjects(options)
  const config = parseOptions(federationSchema, rest, 'simulate options')
  if (
    config.outputDir !== undefined &&
    config.resumeFrom !== undefined &&
    resolve(config.outputDir) !== resolve(config.resumeFrom)
  ) {
    throw new FedloraError('E_CONFIG', 'simulate options: resumeFrom continues in its own folder; leave outputDir out')
  }
  const owned = !(adapter instanceof Adapter)
  const trained = owned ? model.createAdapter(adapter) : adapter
  const request: Request = {
    config,
    model,
    adapter: trained,
    clients,
    evaluation: evaluation && { data: evaluation.data, every: evaluation.every ?? 0 },
  }
  return new Run(async (context) => {
    const session = new Session(request, context)
    try {
      return await federate(session)
    } catch (error) {
      if (owned) session.onClose(() => trained.dispose())
      throw error
    } finally {
      await session.close()
    }
  }, signal)
}
