/** Going on with another number of steps, or of rounds, than the run was begun with. */
import { FedloraError } from '../errors.js'
import type { TrainConfig } from './options.js'
import { type Schedule, type ScheduleContext, scheduleFactor } from './schedule.js'

/** The schedule's horizon in a run of so many steps. */
export function scheduleContext(
  config: Pick<TrainConfig, 'learningRate'> & Partial<Pick<TrainConfig, 'warmupSteps' | 'warmupRatio'>>,
  steps: number,
): ScheduleContext {
  const warmup = config.warmupSteps ?? Math.ceil(steps * (config.warmupRatio ?? 0))
  return { steps, warmup, peak: config.learningRate }
}

export interface Extension {
  unit: 'step' | 'round'
  /** Steps or rounds: done, to do before, to do now. */
  done: number
  before: number
  now: number
  schedule: Schedule
  /** The schedule's horizon in a run of so many. */
  horizon(length: number): ScheduleContext
}

function refuse(message: string, { unit, before, now }: Extension): never {
  const details = { field: unit === 'step' ? 'totalSteps' : 'federation.rounds', saved: before, now }
  throw new FedloraError('E_CHECKPOINT', message, details)
}

/**
 * A run may become longer or shorter as long as every learning rate that it has used is the one that a run of the new length uses, so
 * that it ends as if it had had that length from the beginning.
 * @throws FedloraError `E_CHECKPOINT` with the first rate that differs, and the cure.
 */
export function checkExtension(extension: Extension): void {
  const { unit, done, before, now, schedule, horizon } = extension
  if (before === now) return
  if (now < done) {
    refuse(
      `the run has done ${done} ${unit}s, and is to do ${now} now; give at least ${done}, or resume an earlier checkpoint`,
      extension,
    )
  }
  for (let i = 0; i < done; i++) {
    const [a, b] = [before, now].map((length) => scheduleFactor(schedule, i, horizon(length)))
    if (a === b) continue
    const name = typeof schedule === 'function' ? 'the function' : `"${schedule.name}"`
    refuse(
      `the run was begun with ${before} ${unit}s, now it is to do ${now}, but schedule ${name} depends on their number: ` +
        `${unit} ${i + 1} had ${a} of the peak rate and would have ${b}; resume with ${before} ${unit}s, or start a new run from its ` +
        'adapter; runs with the schedules constant, constant_with_warmup and inverse_sqrt (and warmupSteps, not warmupRatio) can grow',
      extension,
    )
  }
}
