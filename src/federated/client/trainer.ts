/** The trainings of a client in one round, on its own rows, in an adapter that it borrows. */
import { linearCombination } from '../../aggregation/vectors.js'
import { Batches } from '../../data/batches.js'
import type { Dataset } from '../../data/index.js'
import { FedloraError } from '../../errors.js'
import { rowLosses } from '../../evaluation/evaluate.js'
import type { Adapter } from '../../model/adapter.js'
import type { GradientTerms } from '../../native/binding.js'
import { holding } from '../../training/hold.js'
import { Loop, type Recipe } from '../../training/loop.js'
import { chooseRecompute } from '../../training/memory.js'
import { type PrivacyPlan, stepsOf } from '../../training/privacy-options.js'
import type { KeySource } from '../../training/private-steps.js'
import type { Stepper } from '../../training/stepper.js'
import type { Looked, Trained, TrainPlan, ZerothPlan } from '../algorithms/algorithm.js'
import type { FederationConfig } from '../options.js'
import type { Task } from '../protocol/messages.js'
import { deriveSeed, streamOf } from '../protocol/random.js'
import { lengthOf } from '../protocol/space.js'
import { trainZeroth } from './zeroth.js'

/** What a client works with. */
export interface Workplace {
  /** Its own rows, tokenised. */
  data: Dataset
  /** Overwritten. */
  adapter: Adapter
  stepper: Stepper
  /** Its own: the federation's, or what was set for it. */
  local: FederationConfig['local']
  /** Its steps over its rows are private; undefined: they are not. */
  privacy?: PrivateWork | undefined
  signal: AbortSignal
}

/** What a client's account is charged for in every round that it works in: one training of so many steps, and no other look at its rows. */
export interface PrivateWork extends Omit<PrivacyPlan, 'mostSteps'> {
  steps: number
  noise: KeySource
}

/** The seed of a training's row order and dropout masks. */
function seedOf({ seed, round, client }: Task, label: string): number {
  return deriveSeed(seed, 'training', round, streamOf(label === 'work' ? client : JSON.stringify([client, label])))
}

/** What is added to the gradient; undefined: nothing, so that no step computes with it. */
function termsOf(proximal: TrainPlan['proximal'], correction: TrainPlan['correction']): GradientTerms | undefined {
  const pulled = proximal !== undefined && proximal.mu !== 0
  return pulled || correction !== undefined ? { ...(pulled && proximal), correction } : undefined
}

export class Trainer {
  readonly #place: Workplace
  readonly #task: Task
  /** Of the machine, in its steps: a pass that other clients shared counts by the share of its tokens. */
  seconds = 0
  #trained = false

  constructor(place: Workplace, task: Task) {
    this.#place = place
    this.#task = task
  }

  /** Optimiser steps of a training whose plan names none. */
  get steps(): number {
    const { steps, gradientAccumulation } = this.#place.local
    return steps ?? Math.ceil(this.#batches(this.#place.local.epochs!, 'work') / gradientAccumulation)
  }

  /** Micro-batches of `epochs` passes over the rows. */
  #batches(epochs: number, label: string): number {
    const { batchSize, shuffle, packing } = this.#place.local
    const seed = seedOf(this.#task, label)
    return new Batches(this.#place.data, { batchSize, shuffle, packing, epochs, seed }).count()
  }

  /** @throws FedloraError `E_CONFIG` for a look at rows that the client's account does not know of. */
  #unpaid(what: string): never {
    const message = `algorithm ${this.#task.algorithm} ${what}, and privacy counts one training of ${this.#place.privacy!.steps} steps a round; choose fedavg, ffa or another that trains once`
    throw new FedloraError('E_CONFIG', message, { field: 'privacy.level' })
  }

  /** @throws FedloraError of the training; the signal's reason. */
  async train(plan: TrainPlan): Promise<Trained> {
    const { privacy } = this.#place
    if (privacy !== undefined) {
      if (this.#trained) this.#unpaid('trains a second time in a round')
      if (plan.steps !== undefined && plan.steps !== privacy.steps) this.#unpaid(`trains for ${plan.steps} steps`)
      this.#trained = true
    }
    const { steps: localSteps, epochs, memoryBudget: _, schedule: __, ...rest } = this.#place.local
    const maxSteps = plan.steps ?? localSteps
    return await this.#run(plan, {
      ...rest,
      ...(privacy && { maxGradNorm: 0 }),
      ...(maxSteps === undefined ? { epochs } : { maxSteps }),
      learningRate: plan.learningRate ?? this.#task.learningRate,
      seed: seedOf(this.#task, plan.label ?? 'work'),
      schedule: () => 1,
    })
  }

  /**
   * One step of plain SGD over all rows: g = (w − w′) / η. With η a power of two far above |w| / |g| nothing of g is lost in w′.
   * @throws as `train` does.
   */
  async gradient(from: Float32Array): Promise<Float32Array> {
    if (this.#place.privacy !== undefined) this.#unpaid('takes a gradient over all rows')
    const learningRate = 2 ** 24
    const { local } = this.#place
    const { values } = await this.#run(
      { from },
      {
        ...local,
        optimizer: 'sgd',
        momentum: 0,
        weightDecay: 0,
        maxGradNorm: 0,
        epochs: 1,
        gradientAccumulation: this.#batches(1, 'gradient'),
        learningRate,
        seed: seedOf(this.#task, 'gradient'),
        schedule: () => 1,
      },
    )
    return linearCombination([1 / learningRate, -1 / learningRate], [from, values])
  }

  /** Training by forward passes alone. */
  async zeroth(plan: ZerothPlan): Promise<Looked> {
    if (this.#place.privacy !== undefined) this.#unpaid('sends slopes of losses')
    const { learningRate } = this.#task
    const request = { ...plan, steps: this.steps, learningRate }
    const { seconds, ...looked } = await trainZeroth(this.#place, request, seedOf(this.#task, 'work'))
    this.seconds += seconds
    return looked
  }

  async #run(plan: TrainPlan, recipe: Recipe): Promise<Trained> {
    const { data, adapter, stepper, local, privacy, signal: outer } = this.#place
    const { from, trainable, core, weightOf, proximal, correction, afterStep, residual = null } = plan
    adapter.setVector(from)
    adapter.setResidual(residual)
    return await holding('train', adapter, outer, async ({ model, values, signal }) => {
      const recompute = chooseRecompute(model, adapter, data, { ...recipe, memoryBudget: local.memoryBudget, privacy })
      const partial = trainable !== undefined && lengthOf(trainable) < adapter.length
      const parts = { model, values, data, recipe, recompute, stepper, ...(partial && { trainable }) }
      const loop = new Loop({
        ...parts,
        ...(core && { core: { R: core } }),
        weightOf,
        privacy: privacy && stepsOf(privacy, privacy.noise, recipe.seed),
        terms: termsOf(proximal, correction),
      })
      try {
        while (!loop.done) {
          signal.throwIfAborted()
          const step = await loop.step(signal)
          const next = step && afterStep?.(loop.progress.step, () => loop.vector())
          if (next) loop.setTerms(termsOf(next, correction) ?? null)
        }
        const { step: steps, updates, tokens, supervisedTokens } = loop.progress
        // Private steps that drew nobody are sent like others: that nothing came would tell.
        const nothing = privacy === undefined ? null : 0
        const loss = supervisedTokens > 0 ? loop.meanLoss : nothing
        const trained: Trained = { values: values.read(), loss, steps, updates, tokens }
        return core === undefined ? trained : { ...trained, core: loop.core()! }
      } finally {
        this.seconds += loop.seconds
        loop.dispose()
      }
    })
  }

  /** Σ of the losses of each row's supervised tokens. @throws FedloraError of the evaluation; the signal's reason. */
  async rowLosses(from: Float32Array): Promise<Float64Array> {
    if (this.#place.privacy !== undefined) this.#unpaid('looks at the losses of rows')
    const { data, adapter, signal: outer } = this.#place
    adapter.setVector(from)
    adapter.setResidual(null)
    return await holding('rowLosses', adapter, outer, async ({ model, values, signal }) => {
      return await rowLosses(model, values, data, { signal })
    })
  }
}
