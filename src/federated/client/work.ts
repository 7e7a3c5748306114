/** The work of one client in one round: start from the broadcast adapter, train on its own rows, hand back the difference. */
import type { Dataset } from '../../data/index.js'
import { FedloraError, isFedloraError } from '../../errors.js'
import type { Adapter } from '../../model/adapter.js'
import { holding } from '../../training/hold.js'
import { Loop, type Recipe } from '../../training/loop.js'
import { chooseRecompute } from '../../training/memory.js'
import type { Stepper } from '../../training/stepper.js'
import type { FederationConfig } from '../options.js'
import type { Task } from '../protocol/messages.js'

export interface LocalWork {
  /** Adapter after minus adapter before. */
  update: Float32Array
  /** Mean over the supervised tokens of all its steps; null when they held none, and the update teaches nothing. */
  loss: number | null
  steps: number
  tokens: number
  /** Of the machine, in its steps: a pass that other clients shared counts by the share of its tokens. */
  seconds: number
}

/** What a client works with. */
export interface Workplace {
  /** For messages. */
  name: string
  /** Its own rows, tokenised. */
  data: Dataset
  /** Overwritten. */
  adapter: Adapter
  stepper: Stepper
  signal: AbortSignal
}

/** @throws FedloraError of the training, naming round and client; the signal's reason. */
export async function trainLocally(
  { name, data, adapter, stepper, signal: outer }: Workplace,
  task: Task,
  local: FederationConfig['local'],
): Promise<LocalWork> {
  const { steps: maxSteps, memoryBudget, ...rest } = local
  const { learningRate, seed, round } = task
  const recipe: Recipe = { ...rest, maxSteps, learningRate, seed, schedule: () => 1 }
  adapter.setVector(task.adapter)
  try {
    return await holding('train', adapter, outer, async ({ model, values, signal }) => {
      const recompute = chooseRecompute(model, adapter, data, { ...recipe, memoryBudget })
      const loop = new Loop({ model, values, data, recipe, recompute, stepper })
      try {
        while (!loop.done) {
          signal.throwIfAborted()
          await loop.step(signal)
        }
      } finally {
        loop.dispose()
      }
      const update = values.read()
      for (let i = 0; i < update.length; i++) update[i] = update[i]! - task.adapter[i]!
      const { step: steps, tokens, supervisedTokens } = loop.progress
      return { update, loss: supervisedTokens > 0 ? loop.meanLoss : null, steps, tokens, seconds: loop.seconds }
    })
  } catch (error) {
    if (!isFedloraError(error)) throw error
    const details = { ...error.details, round, client: name }
    throw new FedloraError(error.code, `round ${round}, client ${name}: ${error.message}`, details, error)
  }
}
