/** The work of one client in one round: start from the broadcast adapter, train on its own rows, hand back the difference. */
import type { Dataset } from '../../data/dataset.js'
import { FedloraError, isFedloraError } from '../../errors.js'
import type { Adapter } from '../../model/adapter.js'
import type { TrainResult } from '../../training/events.js'
import type { Stepper } from '../../training/stepper.js'
import { trainBy } from '../../training/train.js'
import type { FederationConfig } from '../options.js'

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

export interface LocalTask {
  /** For messages. */
  client: string
  round: number
  start: Float32Array
  data: Dataset
  learningRate: number
  seed: number
  signal: AbortSignal
}

/** `adapter` is overwritten. */
export async function trainLocally(
  adapter: Adapter,
  task: LocalTask,
  local: FederationConfig['local'],
  stepper: Stepper,
): Promise<LocalWork> {
  const { steps: maxSteps, epochs, schedule: _, ...recipe } = local
  adapter.setVector(task.start)
  let result: TrainResult
  try {
    result = await trainBy(stepper, adapter, task.data, {
      ...recipe,
      ...(maxSteps === undefined ? { epochs: epochs! } : { maxSteps }),
      learningRate: task.learningRate,
      schedule: 'constant',
      seed: task.seed,
      signal: task.signal,
    })
  } catch (error) {
    if (!isFedloraError(error)) throw error
    throw new FedloraError(
      error.code,
      `round ${task.round}, client ${task.client}: ${error.message}`,
      { ...error.details, round: task.round, client: task.client },
      error,
    )
  }
  const update = adapter.vector()
  for (let i = 0; i < update.length; i++) update[i] = update[i]! - task.start[i]!
  const { meanLoss, supervisedTokens, steps, tokens, seconds } = result
  return { update, loss: supervisedTokens > 0 ? meanLoss : null, steps, tokens, seconds }
}
