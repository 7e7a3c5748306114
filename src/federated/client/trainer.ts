/** The trainings of a client in one round, on its own rows, in an adapter that it borrows. */
import type { Dataset } from '../../data/index.js'
import type { Adapter } from '../../model/adapter.js'
import { holding } from '../../training/hold.js'
import { Loop, type Recipe } from '../../training/loop.js'
import { chooseRecompute } from '../../training/memory.js'
import type { Stepper } from '../../training/stepper.js'
import type { Trained, TrainPlan } from '../algorithms/algorithm.js'
import type { FederationConfig } from '../options.js'
import type { Task } from '../protocol/messages.js'
import { deriveSeed, streamOf } from '../protocol/random.js'

/** What a client works with. */
export interface Workplace {
  /** Its own rows, tokenised. */
  data: Dataset
  /** Overwritten. */
  adapter: Adapter
  stepper: Stepper
  /** Its own: the federation's, or what was set for it. */
  local: FederationConfig['local']
  signal: AbortSignal
}

/** The seed of a training's row order and dropout masks. */
function seedOf({ seed, round, client }: Task, label: string): number {
  return deriveSeed(seed, 'training', round, streamOf(label === 'work' ? client : JSON.stringify([client, label])))
}

export class Trainer {
  readonly #place: Workplace
  readonly #task: Task
  /** Of the machine, in its steps: a pass that other clients shared counts by the share of its tokens. */
  seconds = 0

  constructor(place: Workplace, task: Task) {
    this.#place = place
    this.#task = task
  }

  /** @throws FedloraError of the training; the signal's reason. */
  async train(plan: TrainPlan): Promise<Trained> {
    const { data, adapter, stepper, local, signal: outer } = this.#place
    const { steps: localSteps, epochs: localEpochs, memoryBudget, schedule: _, ...rest } = local
    const maxSteps = plan.steps ?? localSteps
    const recipe: Recipe = {
      ...rest,
      ...(maxSteps === undefined ? { epochs: localEpochs } : { maxSteps }),
      learningRate: plan.learningRate ?? this.#task.learningRate,
      seed: seedOf(this.#task, plan.label ?? 'work'),
      schedule: () => 1,
    }
    adapter.setVector(plan.from)
    return await holding('train', adapter, outer, async ({ model, values, signal }) => {
      const recompute = chooseRecompute(model, adapter, data, { ...recipe, memoryBudget })
      const loop = new Loop({ model, values, data, recipe, recompute, stepper })
      try {
        while (!loop.done) {
          signal.throwIfAborted()
          await loop.step(signal)
        }
      } finally {
        this.seconds += loop.seconds
        loop.dispose()
      }
      const { step: steps, tokens, supervisedTokens } = loop.progress
      return { values: values.read(), loss: supervisedTokens > 0 ? loop.meanLoss : null, steps, tokens }
    })
  }
}
