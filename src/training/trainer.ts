/** A run of training: the loop's steps, and what is due after each of them: events, evaluations, checkpoints. */
import type { Dataset } from '../data/dataset.js'
import { isFedloraError } from '../errors.js'
import { evaluateNative } from '../evaluation/evaluate.js'
import type { Adapter } from '../model/adapter.js'
import type { Recompute } from '../native/binding.js'
import { isAbortOf } from '../run/failure.js'
import type { RunContext } from '../run/run.js'
import { afterEvaluation, outOfPatience } from './early-stopping.js'
import type { TrainEvent, TrainResult } from './events.js'
import { checkExtension, scheduleContext } from './extension.js'
import type { Held } from './hold.js'
import { Loop, type Stepped, totalStepsOf } from './loop.js'
import type { TrainConfig } from './options.js'
import { readSpent } from './privacy-ledger.js'
import { planPrivacy, stepsOf } from './privacy-options.js'
import { progressOf } from './progress.js'
import { RunRecord } from './record.js'
import { Spending } from './spending.js'
import { identify, type TrainState } from './state.js'

/** Everything a job holds while it works. */
export interface Job {
  adapter: Adapter
  held: Held
  data: Dataset
  evaluationData: Dataset | undefined
  config: TrainConfig
  context: RunContext<TrainEvent>
  recompute: Recompute
}

/** What the evaluations so far have said. */
type Judgement = Pick<TrainState, 'evaluation' | 'evaluated' | 'best' | 'sinceBest'>

export class Trainer {
  readonly #job: Job
  readonly #loop: Loop
  readonly #record: RunRecord
  readonly #spending: Spending | undefined
  /** Noise multiplier of private steps. */
  readonly #noise: number | undefined
  #judged: Judgement = { evaluation: null, evaluated: true, best: null, sinceBest: 0 }

  constructor(job: Job) {
    const { adapter, config, context, held, data, recompute } = job
    this.#job = job
    const { privacy, batchSize, gradientAccumulation, seed } = config
    const steps = totalStepsOf(data, config)
    const plan =
      privacy &&
      planPrivacy(privacy, { rows: data.length, batch: batchSize * gradientAccumulation, steps }, 'train options')
    const loop = new Loop({
      ...held,
      data,
      recipe: config,
      recompute,
      privacy: plan && stepsOf(plan, privacy!.noise, seed),
    })
    this.#loop = loop
    this.#noise = plan?.noiseMultiplier
    this.#spending = plan && new Spending(plan, privacy!.noise, steps)
    this.#record = new RunRecord(adapter, config, context, {
      state: () => ({ ...loop.progress, totalSteps: loop.totalSteps, ...this.#judged }),
      values: () => held.values.read(),
      moments: () => loop.moments(),
      spent: () => this.#spending?.at(loop.progress.step),
    })
  }

  /** Takes over the state of a checkpoint when the run goes on from one, and opens its folder. */
  async #open(): Promise<void> {
    const { adapter, data, config, context, held } = this.#job
    const { totalSteps } = this.#loop
    const identity = identify(adapter, data, config, totalSteps, this.#noise)
    const found = await this.#record.find(identity)
    for (const message of found?.warnings ?? []) context.emit({ type: 'warning', step: 0, message })
    if (found?.checkpoint !== undefined) {
      const { state, vectors } = found.checkpoint
      const { totalSteps: before, evaluation, evaluated, best, sinceBest, eventBytes, announced, ...progress } = state
      checkExtension({
        unit: 'step',
        done: state.step,
        before,
        now: totalSteps,
        schedule: config.schedule,
        horizon: (steps) => scheduleContext(config, steps),
      })
      held.values.write(vectors.adapter!)
      this.#loop.restore(progress, vectors)
      this.#judged = { evaluation, evaluated, best, sinceBest }
    }
    if (found !== undefined) this.#spending?.resume(this.step, await readSpent(found.folder))
    await this.#record.open(identity, found)
  }

  /** What belongs to a step after its update: evaluation and checkpoint, when due. True when the run has reached its end. */
  async #finishStep(): Promise<boolean> {
    const { checkpointEvery, evaluate } = this.#job.config
    const { step } = this
    if (!this.#judged.evaluated) await this.#evaluate()
    const last =
      this.#loop.done || this.#spending?.lasts(step) === false || outOfPatience(this.#judged, evaluate?.patience)
    if (last || (step > 0 && step % checkpointEvery === 0)) {
      await this.#record.dueCheckpoint((other) => other % checkpointEvery === 0 || (last && other === step))
    }
    return last
  }

  async #evaluate(): Promise<void> {
    const { config, held, evaluationData, context } = this.#job
    if (evaluationData === undefined) return
    const { batchTokens, best, patience } = config.evaluate!
    const { step } = this
    const progress = progressOf('evaluating', (event) => context.emit(event))
    const result = await evaluateNative(held.model, held.values, evaluationData, batchTokens, held.signal, progress)
    const judged = this.#judged
    judged.evaluation = result
    if (best === undefined && patience === undefined) {
      judged.evaluated = true
      return await this.#record.tell({ type: 'evaluation', step, ...result })
    }
    Object.assign(judged, afterEvaluation(best ?? 'loss', judged, step, result))
    const isBest = judged.sinceBest === 0
    if (isBest && best !== undefined) await this.#record.saveAdapter('best')
    judged.evaluated = true
    await this.#record.tell({ type: 'evaluation', step, ...result, best: isBest })
  }

  /** One optimiser step and what there is to tell of it; false when it was cancelled and nothing changed. */
  async #step(): Promise<boolean> {
    const stepped = await this.#loop.step(this.#job.held.signal)
    if (stepped === null) return false
    const { evaluate } = this.#job.config
    const { step } = this
    const { totalSteps } = this.#loop
    const last = this.#loop.done || this.#spending?.lasts(step) === false
    this.#judged.evaluated = evaluate === undefined || (step % (evaluate.every ?? totalSteps) !== 0 && !last)
    await this.#warnUnsupervised(stepped)
    if (stepped.supervised === 0 && this.#spending === undefined) {
      const message = 'no row of this step has a supervised token: nothing was learnt'
      await this.#record.tell({ type: 'warning', step, message })
    } else {
      const { learningRate, gradNorm, tokens, seconds, examples: rows, clipped } = stepped
      const loss = stepped.supervised === 0 ? Number.NaN : stepped.loss
      const { epoch } = this.#loop
      const tokensPerSecond = tokens === 0 ? 0 : tokens / seconds
      await this.#record.tell({
        type: 'step',
        step,
        totalSteps,
        epoch,
        loss,
        learningRate,
        gradNorm,
        tokens,
        tokensPerSecond,
        ...(this.#spending && { privacy: { epsilon: this.#spending.epsilonAt(step), rows, clipped } }),
      })
    }
    return true
  }

  /** Names the first row of the run that teaches nothing. */
  async #warnUnsupervised({ unsupervised }: Stepped): Promise<void> {
    const { step, unsupervisedRows } = this.#loop.progress
    if (unsupervised.length === 0 || unsupervisedRows > unsupervised.length) return
    const { file, unit, number } = this.#job.data.place(unsupervised[0]!)
    const message = `${file}, ${unit} ${number} has no supervised token (cut off by maxLength?) and teaches nothing; such rows are counted`
    await this.#record.tell({ type: 'warning', step, message })
  }

  /** Optimiser steps done. */
  get step(): number {
    return this.#loop.progress.step
  }

  #result(finishReason: TrainResult['finishReason']): TrainResult {
    const { recompute, config } = this.#job
    const { progress, totalSteps, epoch, meanLoss, seconds, tokens } = this.#loop
    const { evaluation, best } = this.#judged
    const { path } = this.#record
    const kept = config.evaluate?.best !== undefined && path !== undefined
    return {
      loss: progress.loss ?? Number.NaN,
      meanLoss,
      steps: progress.step,
      totalSteps,
      epoch,
      tokens: progress.tokens,
      supervisedTokens: progress.supervisedTokens,
      tokensPerSecond: seconds === 0 ? 0 : tokens / seconds,
      seconds,
      unsupervisedRows: progress.unsupervisedRows,
      stopped: finishReason === 'stopped',
      finishReason,
      ...(evaluation === null ? {} : { evaluation }),
      ...(best === null ? {} : { best: { ...best, ...(kept && { adapter: `${path}/best` }) } }),
      recompute,
      ...(this.#spending && { privacy: this.#spending.at(progress.step) }),
      ...(path === undefined ? {} : { outputDir: path }),
    }
  }

  /** Why a run that was not told to stop has ended. */
  #reason(): TrainResult['finishReason'] {
    if (this.#loop.done) return 'completed'
    return this.#spending?.lasts(this.step) === false ? 'budget' : 'early-stopping'
  }

  /** Steps until the end, or until told to stop. */
  async #steps(): Promise<TrainResult['finishReason']> {
    const { signal } = this.#job.held
    try {
      while (!signal.aborted) {
        if (await this.#finishStep()) return this.#reason()
        if (!(await this.#step())) break
      }
    } catch (error) {
      if (!signal.aborted || isFedloraError(error)) throw error // else an evaluation was interrupted
    }
    return 'stopped'
  }

  async #work(): Promise<TrainResult> {
    const { context, held } = this.#job
    const finishReason = await this.#steps()
    if (finishReason === 'stopped') await this.#record.checkpoint()
    await this.#record.saveAdapter()
    if (context.aborted || held.disposed) held.signal.throwIfAborted()
    const result = this.#result(finishReason)
    if (finishReason !== 'stopped') await this.#record.tell({ type: 'done', step: this.step, ...result })
    return result
  }

  /** Runs to the end. A failure leaves the checkpoint and the adapter of the last good step, and an event. */
  async run(): Promise<TrainResult> {
    const { context, data } = this.#job
    try {
      await this.#open()
      for (const message of data.warnings) context.emit({ type: 'warning', step: this.step, message })
      return await this.#work()
    } catch (error) {
      throw isAbortOf(context, error) ? error : await this.#record.fail(error)
    } finally {
      this.#loop.dispose()
      await this.#record.close()
    }
  }
}
