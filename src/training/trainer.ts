/** The steps of a run: micro-batches in an order fixed by the seed → optimiser steps, and what is due after each of them. */
import { type Batch, Batches, pack } from '../data/batches.js'
import type { Dataset } from '../data/dataset.js'
import { describeValue } from '../errors/describe.js'
import { FedloraError, isFedloraError } from '../errors.js'
import { evaluateNative } from '../evaluation/evaluate.js'
import type { Adapter } from '../model/adapter.js'
import type { NativeAdapter, NativeModel, NativeSession, Recompute } from '../native/binding.js'
import type { RunContext } from '../run/run.js'
import type { RunState } from './checkpoint.js'
import { afterEvaluation, outOfPatience } from './early-stopping.js'
import type { TrainEvent, TrainResult } from './events.js'
import { checkExtension, scheduleContext } from './extension.js'
import type { TrainConfig } from './options.js'
import { progressOf } from './progress.js'
import { isAbortOf, RunRecord } from './record.js'
import { describeRun } from './run-folder.js'
import { type ScheduleContext, scheduleFactor } from './schedule.js'
import type { Stepper, TimedStep } from './stepper.js'

/** Everything a job holds while it works. */
export interface Job {
  adapter: Adapter
  model: NativeModel
  values: NativeAdapter
  data: Dataset
  evaluationData: Dataset | undefined
  config: TrainConfig
  context: RunContext<TrainEvent>
  stepper: Stepper
  recompute: Recompute
}

/** `events.ndjson` and checkpoints know a run's state before its first step. */
function initialState(batches: Batches, totalSteps: number, config: TrainConfig, warmup: number): RunState {
  const { schedule } = config
  return {
    step: 0,
    totalSteps,
    cursor: batches.state,
    updates: 0,
    schedule: { name: typeof schedule === 'function' ? 'function' : schedule.name, warmup, lastLearningRate: 0 },
    loss: null,
    lossSum: 0,
    supervisedTokens: 0,
    tokens: 0,
    unsupervisedRows: 0,
    evaluation: null,
    best: null,
    sinceBest: 0,
    lines: 0,
    announced: false,
    evaluated: true,
  }
}

export class Trainer {
  readonly #job: Job
  readonly #session: NativeSession
  readonly #batches: Batches
  readonly #schedule: ScheduleContext
  readonly #state: RunState
  readonly #record: RunRecord
  #seconds = 0
  #tokensHere = 0

  constructor(job: Job) {
    const { adapter, config, context, values, data } = job
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
    const state = initialState(this.#batches, totalSteps, config, this.#schedule.warmup)
    this.#state = state
    const session = this.#session
    this.#record = new RunRecord(adapter, config, context, {
      state,
      values: () => values.read(),
      session: () => session.state(),
    })
  }

  /** Takes over the state of a checkpoint when the run goes on from one, and opens its folder. */
  async #open(): Promise<void> {
    const { adapter, data, config, context, values } = this.#job
    const { totalSteps } = this.#state
    const description = describeRun(adapter, data, config, totalSteps)
    const found = await this.#record.find(description)
    for (const message of [...(found?.warnings ?? []), ...data.warnings]) {
      context.emit({ type: 'warning', step: 0, message })
    }
    if (found?.checkpoint !== undefined) {
      const { state, session, values: saved } = found.checkpoint
      checkExtension({
        unit: 'step',
        done: state.step,
        before: found.totalSteps ?? state.totalSteps,
        now: totalSteps,
        schedule: config.schedule,
        horizon: (steps) => scheduleContext(config, steps),
      })
      values.write(saved)
      this.#session.restore(session)
      const { warmup } = this.#schedule
      Object.assign(this.#state, state, { totalSteps, schedule: { ...state.schedule, warmup } })
      this.#batches.restore(state.cursor)
    }
    await this.#record.open(description, found)
  }

  /** What belongs to a step after its update: evaluation and checkpoint, when due. True when the run has reached its end. */
  async #finishStep(): Promise<boolean> {
    const { config } = this.#job
    const state = this.#state
    if (!state.evaluated) await this.#evaluate()
    const last = state.step === state.totalSteps || outOfPatience(state, config.evaluate?.patience)
    const every = config.checkpointEvery
    if (last || (state.step > 0 && state.step % every === 0)) {
      await this.#record.dueCheckpoint((step) => step % every === 0 || (last && step === state.step))
    }
    return last
  }

  async #evaluate(): Promise<void> {
    const { config, model, values, evaluationData, context } = this.#job
    if (evaluationData === undefined) return
    const state = this.#state
    const { batchTokens, best, patience } = config.evaluate!
    const progress = progressOf('evaluating', (event) => context.emit(event))
    const result = await evaluateNative(model, values, evaluationData, batchTokens, context.signal, progress)
    state.evaluation = result
    if (best === undefined && patience === undefined) {
      state.evaluated = true
      return await this.#record.tell({ type: 'evaluation', step: state.step, ...result })
    }
    Object.assign(state, afterEvaluation(best ?? 'loss', state, state.step, result))
    const isBest = state.sinceBest === 0
    if (isBest && best !== undefined) await this.#record.saveAdapter('best')
    state.evaluated = true
    await this.#record.tell({ type: 'evaluation', step: state.step, ...result, best: isBest })
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
        batches: batches.map((batch) => pack(batch.samples)),
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
    const bare = batches.flatMap(({ indices, samples }) => indices.filter((_, i) => samples[i]!.supervised === 0))
    if (bare.length === 0) return
    const first = state.unsupervisedRows === 0
    state.unsupervisedRows += bare.length
    if (!first) return
    const { file, unit, number } = this.#job.data.place(bare[0]!)
    const message = `${file}, ${unit} ${number} has no supervised token (cut off by maxLength?) and teaches nothing; such rows are counted`
    await this.#record.tell({ type: 'warning', step: state.step, message })
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
    const every = config.evaluate?.every ?? state.totalSteps
    if (config.evaluate !== undefined) state.evaluated = !(state.step % every === 0 || state.step === state.totalSteps)
    await this.#countUnsupervised(batches)
    if (result.supervised === 0) {
      await this.#record.tell({
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
      const { totalSteps } = state
      const { epoch } = this
      await this.#record.tell({
        type: 'step',
        step: state.step,
        totalSteps,
        epoch,
        loss,
        learningRate,
        gradNorm,
        tokens,
        tokensPerSecond,
      })
    }
    return true
  }

  /** Optimiser steps done. */
  get step(): number {
    return this.#state.step
  }

  /** Passes over the data so far. */
  get epoch(): number {
    return this.#batches.visited / this.#job.data.length
  }

  #result(finishReason: TrainResult['finishReason']): TrainResult {
    const state = this.#state
    const { recompute, config } = this.#job
    const { folder } = this.#record
    const kept = config.evaluate?.best !== undefined && folder !== undefined
    return {
      loss: state.loss ?? Number.NaN,
      meanLoss: state.supervisedTokens === 0 ? Number.NaN : state.lossSum / state.supervisedTokens,
      steps: state.step,
      totalSteps: state.totalSteps,
      epoch: this.epoch,
      tokens: state.tokens,
      supervisedTokens: state.supervisedTokens,
      tokensPerSecond: this.#seconds === 0 ? 0 : this.#tokensHere / this.#seconds,
      seconds: this.#seconds,
      unsupervisedRows: state.unsupervisedRows,
      stopped: finishReason === 'stopped',
      finishReason,
      ...(state.evaluation === null ? {} : { evaluation: state.evaluation }),
      ...(state.best === null ? {} : { best: { ...state.best, ...(kept && { adapter: `${folder}/best` }) } }),
      recompute,
      ...(folder === undefined ? {} : { outputDir: folder }),
    }
  }

  /** Steps until the end, or until told to stop. */
  async #loop(): Promise<TrainResult['finishReason']> {
    const { context } = this.#job
    const state = this.#state
    while (!context.signal.aborted) {
      if (await this.#finishStep()) return state.step === state.totalSteps ? 'completed' : 'early-stopping'
      if (!(await this.#step())) break
    }
    return 'stopped'
  }

  async #work(): Promise<TrainResult> {
    const { context } = this.#job
    let finishReason: TrainResult['finishReason']
    try {
      finishReason = await this.#loop()
    } catch (error) {
      if (!context.signal.aborted || isFedloraError(error)) throw error
      finishReason = 'stopped' // an evaluation was interrupted
    }
    if (finishReason === 'stopped') await this.#record.checkpoint()
    await this.#record.saveAdapter()
    if (context.aborted) context.signal.throwIfAborted()
    const result = this.#result(finishReason)
    if (finishReason !== 'stopped') await this.#record.tell({ type: 'done', step: this.#state.step, ...result })
    return result
  }

  /** Runs to the end. A failure leaves the checkpoint and the adapter of the last good step, and an event. */
  async run(): Promise<TrainResult> {
    const { context } = this.#job
    try {
      await this.#open()
      for (const message of this.#job.data.warnings) context.emit({ type: 'warning', step: this.#state.step, message })
      return await this.#work()
    } catch (error) {
      if (!isAbortOf(context, error)) await this.#record.fail(error)
      throw error
    } finally {
      this.#session.dispose()
      await this.#record.close()
    }
  }
}
