/**
 * Training by forward passes alone, with the memory of inference: a step looks along one random direction z, drawn from a seed,
 *
 *   ê = (f(w + ε·z) − f(w − ε·z)) / 2ε        w ← w − η·ê·z
 *
 * so that a seed and a number say all that it did (`addDirections` does it again elsewhere). Every w of a step is made of the saved one:
 * what it leaves does not depend on the rounding of what was tried. There is no weight decay: with it, the order of steps would matter and
 * nobody could rebuild them from sums by seed. Dropout is off.
 *
 * Source: Malladi et al. 2023, "Fine-tuning language models with just forward passes" (MeZO), algorithm 1; Qin et al. 2024, "Federated
 * full-parameter tuning of billion-sized language models with communication cost under 18 kilobytes" (FedKSeed), equation 4.
 */
import { directionStream } from '../aggregation/normals.js'
import { type Batch, Batches, pack } from '../data/batches.js'
import type { Dataset } from '../data/dataset.js'
import { FedloraError } from '../errors.js'
import type { NativeAdapter, NativeModel } from '../native/binding.js'

export interface ZerothRecipe {
  /** Rows of a step. */
  batchSize: number
  /** η */
  learningRate: number
  /** ε: how far a step looks on either side. */
  epsilon: number
  /** Of the order of the rows. */
  seed: number
  shuffle: boolean
  steps: number
}

/** Mean loss over the supervised tokens of a batch; without any it means nothing. */
export interface BatchLoss {
  loss: number
  supervised: number
  tokens: number
}

/** What a step changes: the flat vector of an adapter. */
export type Perturbed = Pick<NativeAdapter, 'read' | 'write' | 'addNormals'>

export interface ZerothParts {
  values: Perturbed
  /** Tokenised rows. */
  data: Dataset
  recipe: ZerothRecipe
  /** Seed of the direction of a step, numbered from 1. */
  directions: (step: number) => number
  /** f at the adapter's present values. */
  loss: (batch: Batch) => Promise<BatchLoss>
  /** Parts that are trained, as begin and end of each; default: the whole. */
  ranges?: Float64Array
}

export interface ZerothStep {
  /** Seed of the direction. */
  direction: number
  /** ê; 0 when no token of the batch was supervised, and then nothing changed. */
  projected: number
  /** Mean of both sides, over the supervised tokens. */
  loss: number
  supervised: number
  /** Processed, both sides together. */
  tokens: number
}

/** f by a model: one forward pass over the batch. */
export function forwardLoss(model: NativeModel, values: NativeAdapter): ZerothParts['loss'] {
  return async ({ samples }) => {
    const { lossSum, supervised, tokens } = await model.evaluate(values, pack(samples))
    return { loss: lossSum / supervised, supervised, tokens }
  }
}

export class ZerothLoop {
  /** Steps done. */
  step = 0
  readonly #parts: ZerothParts
  readonly #batches: Batches

  /** @throws FedloraError `E_DATA` when there are no rows. */
  constructor(parts: ZerothParts) {
    const { batchSize, shuffle, seed } = parts.recipe
    this.#parts = parts
    this.#batches = new Batches(parts.data, { batchSize, shuffle, seed })
  }

  get done(): boolean {
    return this.step >= this.#parts.recipe.steps
  }

  /**
   * Takes one step; null when `signal` ended it. Then, and after an error, the values are as they were.
   * @throws FedloraError `E_NONFINITE` when a loss is not finite; what `loss` throws.
   */
  async next(signal: AbortSignal): Promise<ZerothStep | null> {
    const { values, recipe, directions } = this.#parts
    const cursor = this.#batches.state
    const batch = this.#batches.next()!
    const direction = directions(this.step + 1)
    const saved = values.read()
    const move = (scale: number) =>
      values.addNormals(Float64Array.of(direction), Float64Array.of(scale), directionStream, this.#parts.ranges)
    let taken: ZerothStep | null = null
    try {
      taken = await this.#look(batch, direction, saved, move, signal)
    } finally {
      values.write(saved)
      if (taken === null) this.#batches.restore(cursor)
    }
    if (taken === null) return null
    if (taken.projected !== 0) move(-recipe.learningRate * taken.projected)
    this.step++
    return taken
  }

  async #look(
    batch: Batch,
    direction: number,
    saved: Float32Array,
    move: (scale: number) => void,
    signal: AbortSignal,
  ): Promise<ZerothStep | null> {
    const { values, recipe, loss } = this.#parts
    const sides: BatchLoss[] = []
    for (const scale of [recipe.epsilon, -recipe.epsilon]) {
      if (signal.aborted) return null
      values.write(saved)
      move(scale)
      sides.push(await loss(batch))
    }
    const [plus, minus] = sides as [BatchLoss, BatchLoss]
    const tokens = plus.tokens + minus.tokens
    if (plus.supervised === 0) return { direction, projected: 0, loss: Number.NaN, supervised: 0, tokens }
    const projected = (plus.loss - minus.loss) / (2 * recipe.epsilon)
    if (!Number.isFinite(projected)) {
      const rows = batch.indices
      const message = `step ${this.step + 1} over the rows ${rows}: the losses along direction ${direction} are ${plus.loss} and ${minus.loss}; a smaller epsilon or learning rate may help`
      throw new FedloraError('E_NONFINITE', message, { step: this.step + 1, rows, direction })
    }
    return { direction, projected, loss: (plus.loss + minus.loss) / 2, supervised: plus.supervised, tokens }
  }
}
