/**
 * The steps of training: micro-batches in an order fixed by the seed → optimiser steps at the rates of a schedule. Knows neither folders
 * nor events: `train` builds a run around it, a client of a federation does its work with it.
 */
import { z } from 'zod'
import { type Batch, Batches, pack } from '../data/batches.js'
import type { Dataset } from '../data/dataset.js'
import { describeValue } from '../errors/describe.js'
import { FedloraError, isFedloraError } from '../errors.js'
import type {
  GradientTerms,
  NativeAdapter,
  NativeModel,
  NativeSession,
  Recompute,
  SessionOptions,
  SessionState,
} from '../native/binding.js'
import { scheduleContext } from './extension.js'
import { optimizerOf } from './optimizer.js'
import type { TrainConfig } from './options.js'
import { drawBatches, type PrivateSteps } from './private-steps.js'
import { type ScheduleContext, scheduleFactor } from './schedule.js'
import { alone, type Stepper, type TimedStep } from './stepper.js'

/** What decides the bits of every step, beside the adapter and the rows. */
export type Recipe = Pick<
  TrainConfig,
  | 'batchSize'
  | 'gradientAccumulation'
  | 'learningRate'
  | 'schedule'
  | 'weightDecay'
  | 'betas'
  | 'epsilon'
  | 'momentum'
  | 'maxGradNorm'
  | 'optimizer'
  | 'packing'
  | 'shuffle'
  | 'seed'
> &
  Partial<Pick<TrainConfig, 'epochs' | 'maxSteps' | 'warmupSteps' | 'warmupRatio'>>

const count = z.int().min(0)

/** Where a loop stands: with the adapter and the moments, all that its next step depends on, and the sums so far. */
export const progressSchema = z.strictObject({
  /** Optimiser steps done. */
  step: count,
  /** Where the next micro-batch begins. */
  cursor: z.strictObject({ epoch: count, position: count }),
  /** Steps that had a supervised token, and private ones: they number the dropout masks and AdamW's bias correction. */
  updates: count,
  /** Loss of the last update. */
  loss: z.number().nullable(),
  /** Of all supervised tokens. */
  lossSum: z.number(),
  supervisedTokens: count,
  tokens: count,
  /** Rows drawn without a supervised token. */
  unsupervisedRows: count,
})

export type Progress = z.output<typeof progressSchema>

/** One optimiser step. Without supervised tokens nothing was learnt, and loss and norm mean nothing. */
export interface Stepped extends TimedStep {
  learningRate: number
  /** Rows of it that have no supervised token. */
  unsupervised: number[]
}

export interface LoopParts {
  model: NativeModel
  values: NativeAdapter
  /** Tokenised rows. */
  data: Dataset
  recipe: Recipe
  /** What the backward pass computes again; changes no bit with `compute: 'f32'`. Default: nothing. */
  recompute?: Recompute
  /** Default: `alone`. */
  stepper?: Stepper
  /** Elements of the adapter's vector that are trained (`rangesOf`); default: all. */
  trainable?: SessionOptions['trainable']
  /** Trained instead of the adapter's factors: a core between them. */
  core?: SessionOptions['core']
  /** Of row `index`: its losses count as often; one of 0 is not learnt from. Default: 1 each. */
  weightOf?: ((index: number) => number) | undefined
  /** Added to every step's gradient, until `setTerms` says otherwise. */
  terms?: GradientTerms | undefined
  /** Makes every step differentially private. */
  privacy?: PrivateSteps | undefined
}

function batchesOf(data: Dataset, { batchSize, shuffle, seed, packing, maxSteps, epochs = 1 }: Recipe): Batches {
  return new Batches(data, { batchSize, shuffle, seed, packing, epochs: maxSteps === undefined ? epochs : undefined })
}

/** Optimiser steps that a recipe asks for. @throws FedloraError `E_DATA` when there are no rows. */
export function totalStepsOf(data: Dataset, recipe: Recipe): number {
  return recipe.maxSteps ?? Math.ceil(batchesOf(data, recipe).count() / recipe.gradientAccumulation)
}

export class Loop {
  readonly progress: Progress
  /** Optimiser steps to do. */
  readonly totalSteps: number
  /** Of the steps of this process: seconds of the machine, and the tokens processed in them. */
  seconds = 0
  tokens = 0
  readonly #parts: LoopParts
  readonly #session: NativeSession
  readonly #batches: Batches
  readonly #schedule: ScheduleContext

  /**
   * @throws FedloraError `E_DATA` when there are no rows, `E_CONFIG` for a schedule that gives no rate, `E_MEMORY`; `E_ARGUMENT`, `E_SHAPE`,
   * `E_NONFINITE` for ranges and terms that are none of this adapter's.
   */
  constructor(parts: LoopParts) {
    const { recipe, data, values } = parts
    const { seed } = recipe
    this.#parts = parts
    this.#batches = batchesOf(data, recipe)
    this.totalSteps = totalStepsOf(data, recipe)
    this.#schedule = scheduleContext(recipe, this.totalSteps)
    scheduleFactor(recipe.schedule, 0, this.#schedule)
    this.#session = values.createSession({
      optimizer: optimizerOf(recipe),
      maxGradNorm: recipe.maxGradNorm,
      dropoutSeed: seed,
      recompute: parts.recompute ?? 'none',
      ...(parts.trainable && { trainable: parts.trainable }),
      ...(parts.core && { core: parts.core }),
    })
    if (parts.terms !== undefined) this.#session.setTerms(parts.terms)
    this.progress = {
      step: 0,
      cursor: this.#batches.state,
      updates: 0,
      loss: null,
      lossSum: 0,
      supervisedTokens: 0,
      tokens: 0,
      unsupervisedRows: 0,
    }
  }

  /** Passes over the data so far; on average, where rows are drawn by themselves. */
  get epoch(): number {
    const { privacy } = this.#parts
    if (privacy !== undefined) return this.progress.step * privacy.sampleRate
    return this.#batches.visited / this.#parts.data.length
  }

  get done(): boolean {
    return this.progress.step >= this.totalSteps
  }

  /** Mean loss over all supervised tokens; NaN when there was none. */
  get meanLoss(): number {
    return this.progress.supervisedTokens === 0 ? Number.NaN : this.progress.lossSum / this.progress.supervisedTokens
  }

  /** Copies of the optimiser's moments. */
  moments(): Pick<SessionState, 'moment1' | 'moment2'> {
    const { moment1, moment2 } = this.#session.state()
    return { moment1, moment2 }
  }

  /**
   * What is added to the gradient from the next step on: `mu·(w − anchor) + correction`, vectors like the adapter's, copied; null: nothing.
   * A loop that is restored is told them anew.
   * @throws FedloraError `E_SHAPE`, `E_NONFINITE`, `E_ARGUMENT` for a mu that is negative or has no anchor, `E_BUSY` during a step.
   */
  setTerms(terms: GradientTerms | null): void {
    this.#session.setTerms(terms)
  }

  /**
   * A copy of the adapter's vector as the steps so far have left it.
   * @throws FedloraError `E_BUSY` during a step.
   */
  vector(): Float32Array {
    return this.#parts.values.read()
  }

  /**
   * A copy of the core's vector; null when no core is trained.
   * @throws FedloraError `E_BUSY` during a step.
   */
  core(): Float32Array | null {
    return this.#session.core()
  }

  /**
   * Goes on from where another loop of the same recipe, rows and adapter stood.
   * @throws FedloraError `E_CHECKPOINT`, `E_SHAPE` for what is no such place.
   */
  restore(progress: Progress, moments: Partial<Pick<SessionState, 'moment1' | 'moment2'>>): void {
    const { moment1 = new Float32Array(0), moment2 = new Float32Array(0) } = moments
    this.#session.restore({ step: progress.updates, moment1, moment2 })
    this.#batches.restore(progress.cursor)
    Object.assign(this.progress, progress)
  }

  /**
   * Takes one optimiser step; null when `signal` ended it, and then nothing has changed.
   * @throws FedloraError `E_NONFINITE` naming step and rows, with the adapter as it was; `E_DISPOSED`, `E_MEMORY`.
   */
  async step(signal: AbortSignal): Promise<Stepped | null> {
    const { data, recipe, privacy } = this.#parts
    const { progress } = this
    const keys = privacy?.keysOf(progress.step + 1)
    const batches = keys ? drawBatches(data, privacy!.sampleRate, keys.rows, recipe.batchSize) : this.#next()
    const learningRate = recipe.learningRate * scheduleFactor(recipe.schedule, progress.step, this.#schedule)
    const result = await this.#run(batches, learningRate, keys?.noise, signal)
    if (result.cancelled) {
      this.#batches.restore(progress.cursor)
      return null
    }
    const unsupervised = batches.flatMap(({ indices, samples }) =>
      indices.filter((_, i) => samples[i]!.supervised === 0),
    )
    this.seconds += result.seconds
    this.tokens += result.tokens
    progress.step++
    progress.cursor = this.#batches.state
    progress.tokens += result.tokens
    progress.unsupervisedRows += unsupervised.length
    if (result.supervised > 0 || keys !== undefined) progress.updates++
    if (result.supervised > 0) {
      progress.loss = result.loss
      progress.lossSum += result.loss * result.supervised
      progress.supervisedTokens += result.supervised
    }
    return { ...result, learningRate, unsupervised }
  }

  /** The micro-batches of the next step. */
  #next(): Batch[] {
    const batches: Batch[] = []
    while (batches.length < this.#parts.recipe.gradientAccumulation) {
      const batch = this.#batches.next()
      if (batch === null) break
      batches.push(batch)
    }
    return batches
  }

  async #run(
    batches: Batch[],
    learningRate: number,
    key: Uint8Array | undefined,
    signal: AbortSignal,
  ): Promise<TimedStep> {
    const { model, stepper = alone, weightOf, privacy: steps } = this.#parts
    const flat = batches.map(({ indices, samples }) => {
      const weights = weightOf && { weights: Float64Array.from(indices, weightOf) }
      return { ...pack(samples), ...weights }
    })
    const privacy = key && { ...steps!, key }
    try {
      return await stepper.step({ model, session: this.#session, batches: flat, learningRate, privacy, signal })
    } catch (error) {
      if (!isFedloraError(error, 'E_NONFINITE')) throw error
      const rows = batches.map((batch) => batch.indices)
      const step = this.progress.step + 1
      const message = `train: step ${step} over the rows ${describeValue(rows)}: ${error.message}; the adapter of step ${step - 1} is kept`
      throw new FedloraError('E_NONFINITE', message, { step, rows }, error)
    }
  }

  /** Gives the optimiser's memory back. */
  dispose(): void {
    this.#session.dispose()
  }
}
