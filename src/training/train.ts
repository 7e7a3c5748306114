/** Training an adapter: data in an order fixed by the seed → micro-batches → optimiser steps, with checkpoints to go on from. */
import { resolve } from 'node:path'
import { type Batch, Batches, flatten } from '../data/batches.js'
import type { Dataset } from '../data/dataset.js'
import { FedloraError, isFedloraError } from '../errors.js'
import { evaluateNative, withTokenizer } from '../evaluation/evaluate.js'
import { Adapter } from '../model/adapter.js'
import { writeAdapterFolder } from '../model/peft.js'
import type { NativeAdapter, NativeModel, NativeSession, Recompute } from '../native/binding.js'
import { describeValue } from '../options/parse.js'
import { checkpointName, pruneCheckpoints, type RunState, writeCheckpoint } from './checkpoint.js'
import { EventLog } from './event-log.js'
import type { TrainEvent, TrainResult } from './events.js'
import { chooseRecompute } from './memory.js'
import { parseTrainOptions, type TrainConfig, type TrainOptions } from './options.js'
import { Run, type RunContext } from './run.js'
import { describeRun, findResumption, refuseUsedFolder, resumeTarget, writeRunConfig } from './run-folder.js'
import { type ScheduleContext, scheduleFactor } from './schedule.js'
import { alone, type Stepper, type TimedStep } from './stepper.js'

/** A run: iterate it for its events, await it for its result. */
export type TrainRun = Run<TrainEvent, TrainResult>

/** Everything a job holds while it works. */
interface Job {
  adapter: Adapter
  model: NativeModel
  values: NativeAdapter
  data: Dataset
  evaluationData: Dataset | undefined
  config: TrainConfig
  context: RunContext<TrainEvent>
  stepper: Stepper
  recompute: Recompute
  outputDir: string | undefined
}

function scheduleContext(config: TrainConfig, steps: number): ScheduleContext {
  const warmup = config.warmupSteps ?? Math.ceil(steps * (config.warmupRatio ?? 0))
  return { steps, warmup, peak: config.learningRate }
}

class Trainer {
  readonly #job: Job
  readonly #session: NativeSession
  readonly #batches: Batches
  readonly #schedule: ScheduleContext
  readonly #state: RunState
  #log: EventLog | undefined
  /** The newest checkpoint's step in the run folder, and the newest that has an event; −1: none. */
  #saved = -1
  #announced = -1
  #seconds = 0
  #tokensHere = 0

  constructor(job: Job) {
    const { config, values, data } = job
    this.#job = job
    const epochs = config.maxSteps === undefined ? (config.epochs ?? 1) : undefined
    const { batchSize, shuffle, seed, packing } = config
    this.#batches = new Batches(data, { batchSize, shuffle, seed, packing, epochs })
    const totalSteps = config.maxSteps ?? Math.ceil(this.#batches.count() / config.gradientAccumulation)
    this.#schedule = scheduleContext(config, totalSteps)
    scheduleFactor(config.schedule, 0, this.#schedule)
    this.#session = values.createSession({
      optimizer: {
        kind: config.optimizer,
        beta1: config.betas[0],
        beta2: config.betas[1],
        epsilon: config.epsilon,
        weightDecay: config.weightDecay,
        momentum: config.momentum,
      },
      maxGradNorm: config.maxGradNorm,
      dropoutSeed: config.seed,
      recompute: job.recompute,
    })
    const { schedule } = config
    this.#state = {
      step: 0,
      totalSteps,
      cursor: this.#batches.state,
      updates: 0,
      schedule: {
        name: typeof schedule === 'function' ? 'function' : schedule.name,
        warmup: this.#schedule.warmup,
        lastLearningRate: 0,
      },
      loss: null,
      lossSum: 0,
      supervisedTokens: 0,
      tokens: 0,
      unsupervisedRows: 0,
      evaluation: null,
      lines: 0,
      announced: false,
      evaluated: true,
    }
  }

  /** Tells an event and writes it down. */
  async #tell(event: TrainEvent): Promise<void> {
    await this.#log?.append(event)
    this.#job.context.emit(event)
  }

  #warn(message: string): void {
    this.#job.context.emit({ type: 'warning', step: this.#state.step, message })
  }

  /** Opens the run folder: a new one, or an old one at its newest checkpoint. */
  async #open(): Promise<void> {
    const { adapter, data, config, outputDir, values } = this.#job
    const { resumeFrom } = config
    if (outputDir === undefined && resumeFrom === undefined) return
    const description = describeRun(adapter, data, config, this.#state.totalSteps)
    let lines: string[] = []
    if (resumeFrom === undefined) await refuseUsedFolder(outputDir!)
    else {
      const found = await findResumption(resumeFrom, adapter, description)
      lines = found.lines
      for (const message of found.warnings) this.#warn(message)
      if (found.checkpoint !== undefined) {
        const { state, session } = found.checkpoint
        values.write(found.checkpoint.values)
        this.#session.restore(session)
        Object.assign(this.#state, state)
        this.#batches.restore(state.cursor)
        if (state.announced) this.#announced = state.step
        if (resumeTarget(resumeFrom).folder === outputDir) this.#saved = state.step
      }
    }
    await writeRunConfig(outputDir!, description, adapter)
    this.#log = await EventLog.open(outputDir!, lines)
    if (this.#saved < 0) await this.#checkpoint()
  }

  /** Writes a checkpoint without an event: the first one, or one because the run ends early. */
  async #checkpoint(announced = false): Promise<void> {
    const { adapter, values, outputDir } = this.#job
    if (outputDir === undefined || this.#log === undefined) return
    await this.#log.sync()
    const { step } = this.#state
    const told = this.#announced === step // a run that goes on in another folder: its line is there already
    const state: RunState = { ...this.#state, lines: this.#log.lines - (told ? 1 : 0), announced: announced || told }
    await writeCheckpoint(outputDir, adapter, values.read(), this.#session.state(), state)
    this.#saved = step
  }

  async #announcedCheckpoint(): Promise<void> {
    const { config, outputDir } = this.#job
    if (outputDir === undefined) return
    const state = this.#state
    await this.#checkpoint(true)
    this.#announced = state.step
    await this.#tell({ type: 'checkpoint', step: state.step, path: checkpointName(state.step) })
    const regular = (step: number) => step % config.checkpointEvery === 0 || step === state.totalSteps
    await pruneCheckpoints(outputDir, config.keepCheckpoints, regular)
  }

  /** What belongs to a step after its update: evaluation and checkpoint, when due. */
  async #finishStep(): Promise<void> {
    const { config, model, values, evaluationData, context } = this.#job
    const state = this.#state
    const last = state.step === state.totalSteps
    if (!state.evaluated && evaluationData !== undefined) {
      const result = await evaluateNative(model, values, evaluationData, config.evaluate!.batchTokens, context.signal)
      state.evaluation = result
      state.evaluated = true
      await this.#tell({ type: 'evaluation', step: state.step, ...result })
    }
    const due = last || (state.step > 0 && state.step % config.checkpointEvery === 0)
    if (due && this.#announced !== state.step) await this.#announcedCheckpoint()
  }

  #draw(): Batch[] {
    const batches: Batch[] = []
    while (batches.length < this.#job.config.gradientAccumulation) {
      const batch = this.#batches.next()
      if (batch === null) break
      batches.push(batch)
    }
    return batches
  }

  async #runSession(batches: Batch[], learningRate: number): Promise<TimedStep> {
    const { model, context, stepper } = this.#job
    try {
      return await stepper.step({
        model,
        session: this.#session,
        batches: batches.map((batch) => flatten(batch.samples)),
        learningRate,
        signal: context.signal,
      })
    } catch (error) {
      if (!isFedloraError(error, 'E_NONFINITE')) throw error
      const rows = batches.map((batch) => batch.indices)
      throw new FedloraError(
        'E_NONFINITE',
        `train: step ${this.#state.step + 1} over the rows ${describeValue(rows)}: ${error.message}; the adapter of step ${this.#state.step} is kept`,
        { step: this.#state.step + 1, rows },
        error,
      )
    }
  }

  async #countUnsupervised(batches: Batch[]): Promise<void> {
    const state = this.#state
    const bare = batches.flatMap((batch) =>
      batch.indices.filter((_, i) => batch.samples[i]!.labels.subarray(1).every((label) => label < 0)),
    )
    if (bare.length === 0) return
    const first = state.unsupervisedRows === 0
    state.unsupervisedRows += bare.length
    if (!first) return
    const message = `row ${bare[0]} has no supervised token (cut off by maxLength?) and teaches nothing; such rows are counted`
    await this.#tell({ type: 'warning', step: state.step, message })
  }

  /** One optimiser step; false when it was cancelled and nothing changed. */
  async #step(): Promise<boolean> {
    const { config } = this.#job
    const state = this.#state
    const cursor = this.#batches.state
    const batches = this.#draw()
    const learningRate = config.learningRate * scheduleFactor(config.schedule, state.step, this.#schedule)
    const result = await this.#runSession(batches, learningRate)
    if (result.cancelled) {
      this.#batches.restore(cursor)
      return false
    }
    const { seconds } = result
    this.#seconds += seconds
    this.#tokensHere += result.tokens
    state.step++
    state.cursor = this.#batches.state
    state.tokens += result.tokens
    state.schedule = { ...state.schedule, lastLearningRate: learningRate }
    await this.#countUnsupervised(batches)
    if (result.supervised === 0) {
      await this.#tell({
        type: 'warning',
        step: state.step,
        message: 'no row of this step has a supervised token: nothing was learnt',
      })
    } else {
      state.updates++
      state.loss = result.loss
      state.lossSum += result.loss * result.supervised
      state.supervisedTokens += result.supervised
      const { loss, gradNorm, tokens } = result
      const tokensPerSecond = tokens / seconds
      await this.#tell({ type: 'step', step: state.step, loss, learningRate, gradNorm, tokens, tokensPerSecond })
    }
    const every = config.evaluate?.every ?? state.totalSteps
    if (config.evaluate !== undefined) state.evaluated = !(state.step % every === 0 || state.step === state.totalSteps)
    return true
  }

  #result(stopped: boolean): TrainResult {
    const state = this.#state
    const { recompute, outputDir } = this.#job
    return {
      loss: state.loss ?? Number.NaN,
      meanLoss: state.supervisedTokens === 0 ? Number.NaN : state.lossSum / state.supervisedTokens,
      steps: state.step,
      totalSteps: state.totalSteps,
      tokens: state.tokens,
      supervisedTokens: state.supervisedTokens,
      tokensPerSecond: this.#seconds === 0 ? 0 : this.#tokensHere / this.#seconds,
      seconds: this.#seconds,
      unsupervisedRows: state.unsupervisedRows,
      stopped,
      ...(state.evaluation === null ? {} : { evaluation: state.evaluation }),
      recompute,
      ...(outputDir === undefined ? {} : { outputDir }),
    }
  }

  async #saveAdapter(): Promise<void> {
    const { adapter, values, outputDir } = this.#job
    if (outputDir !== undefined) await writeAdapterFolder(adapter, values.read(), `${outputDir}/adapter`)
  }

  /** Steps until the end or until told to stop; true when it was stopped. */
  async #loop(): Promise<boolean> {
    const { context } = this.#job
    const state = this.#state
    while (!context.signal.aborted) {
      await this.#finishStep()
      if (state.step === state.totalSteps) return false
      if (!(await this.#step())) break
    }
    return true
  }

  async run(): Promise<TrainResult> {
    const { context } = this.#job
    try {
      await this.#open()
      for (const message of this.#job.data.warnings) this.#warn(message)
      let stopped: boolean
      try {
        stopped = await this.#loop()
      } catch (error) {
        if (isFedloraError(error, 'E_NONFINITE')) await this.#keepLastGood()
        if (!context.signal.aborted || isFedloraError(error)) throw error
        stopped = true // an evaluation was interrupted
      }
      if (stopped && this.#saved !== this.#state.step) await this.#checkpoint()
      if (context.aborted) context.signal.throwIfAborted()
      await this.#saveAdapter()
      const result = this.#result(stopped)
      if (!stopped) await this.#tell({ type: 'done', step: this.#state.step, ...result })
      return result
    } finally {
      this.#session.dispose()
      await this.#log?.close()
    }
  }

  async #keepLastGood(): Promise<void> {
    if (this.#job.outputDir === undefined) return
    this.#batches.restore(this.#state.cursor)
    if (this.#saved !== this.#state.step) await this.#checkpoint()
    await this.#saveAdapter()
  }
}

async function work(
  adapter: Adapter,
  data: Dataset,
  config: TrainConfig,
  context: RunContext<TrainEvent>,
  stepper: Stepper,
): Promise<TrainResult> {
  const { model } = adapter
  return await model.handle.share('train', async (nativeModel) => {
    const held = adapter.handle.acquire('train')
    const stop = new AbortController()
    const disposed = () =>
      stop.abort(new FedloraError('E_DISPOSED', 'train: the adapter or its model was disposed during the run'))
    const unwatch = [adapter.handle.watch(disposed), model.handle.watch(disposed)]
    const signal = AbortSignal.any([context.signal, stop.signal])
    try {
      context.signal.throwIfAborted()
      const ready = await withTokenizer(data, model)
      const job: Job = {
        adapter,
        model: nativeModel,
        values: held.native,
        data: ready,
        evaluationData: config.evaluate && (await withTokenizer(config.evaluate.data, model)),
        config,
        context: {
          emit: context.emit,
          signal,
          get aborted() {
            return context.aborted || stop.signal.aborted
          },
        },
        stepper,
        recompute: chooseRecompute(nativeModel, adapter, ready, config),
        outputDir: outputFolder(config),
      }
      return await new Trainer(job).run()
    } finally {
      for (const off of unwatch) off()
      held.release()
    }
  })
}

function outputFolder(config: TrainConfig): string | undefined {
  if (config.outputDir !== undefined) return resolve(config.outputDir)
  return config.resumeFrom === undefined ? undefined : resumeTarget(config.resumeFrom).folder
}

/**
 * Trains an adapter in place. The run starts at once; iterate it for events, await it for the result; `break` stops it after the
 * micro-batch in flight and waits for it. Nothing else may use the adapter meanwhile (`E_BUSY`).
 *
 * The loss of a step is the mean over all its supervised tokens, however it is split into micro-batches. With an `outputDir` the run
 * leaves `config.json`, `events.ndjson`, `adapter/` and `checkpoints/`; `resumeFrom` goes on from the newest checkpoint, bit for bit as if
 * it had never stopped.
 * @param adapter - the adapter to train.
 * @param data - the rows; without a tokenizer of their own they get the model's.
 * @param options - see `TrainOptions` for the defaults.
 * @throws FedloraError (by rejection) `E_CONFIG`, `E_DATA`, `E_MEMORY`, `E_NONFINITE` (the adapter of the last good step is kept),
 * `E_CHECKPOINT`, `E_IO`, `E_BUSY`, `E_DISPOSED`, `E_TOKENIZER`; the signal's reason when aborted.
 */
export function train(adapter: Adapter, data: Dataset, options: TrainOptions = {}): TrainRun {
  return trainBy(alone, adapter, data, options)
}

/** `train`, its steps run by `stepper`. */
export function trainBy(stepper: Stepper, adapter: Adapter, data: Dataset, options: TrainOptions): TrainRun {
  const signal = options?.signal instanceof AbortSignal ? options.signal : undefined
  return new Run<TrainEvent, TrainResult>(async (context) => {
    if (!(adapter instanceof Adapter)) {
      throw new FedloraError('E_ARGUMENT', `train: got ${describeValue(adapter)}, expected an adapter`)
    }
    return await work(adapter, data, parseTrainOptions(options), context, stepper)
  }, signal)
}
