/** The work of one client in one round: start from the broadcast adapter, train on its own rows, hand back the difference. */
import type { Dataset } from '../data/dataset.js'
import { FedloraError, isFedloraError } from '../errors.js'
import type { Adapter } from '../model/adapter.js'
import type { TrainResult } from '../training/events.js'
import { train } from '../training/train.js'
import type { FederationConfig } from './options.js'

export interface LocalWork {
  /** Adapter after minus adapter before. */
  update: Float32Array
  /** Mean over the supervised tokens of all its steps. */
  loss: number
  steps: number
  tokens: number
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
): Promise<LocalWork> {
  const { steps, epochs, schedule: _, ...recipe } = local
  adapter.setVector(task.start)
  const started = performance.now()
  let result: TrainResult
  try {
    result = await train(adapter, task.data, {
      ...recipe,
      ...(steps === undefined ? { epochs: epochs! } : { maxSteps: steps }),
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
  const seconds = (performance.now() - started) / 1000
  return { update, loss: result.meanLoss, steps: result.steps, tokens: result.tokens, seconds }
}
