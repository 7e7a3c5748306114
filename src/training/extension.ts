/** Going on with another number of steps than the run was begun with. */
import { FedloraError } from '../errors.js'
import type { TrainConfig } from './options.js'
import { type ScheduleContext, scheduleFactor } from './schedule.js'

/** The schedule's horizon in a run of so many steps. */
export function scheduleContext(config: TrainConfig, steps: number): ScheduleContext {
  const warmup = config.warmupSteps ?? Math.ceil(steps * (config.warmupRatio ?? 0))
  return { steps, warmup, peak: config.learningRate }
}

/**
 * A run may become longer or shorter as long as every learning rate that it has used is the one that a run of the new length uses, so
 * that it ends as if it had had that length from the beginning.
 * @param step - steps done. @param before - steps it was to do. @param now - steps it is to do.
 * @throws FedloraError `E_CHECKPOINT` with the first rate that differs, and the cure.
 */
export function checkExtension(config: TrainConfig, step: number, before: number, now: number): void {
  if (before === now) return
  if (now < step) {
    throw new FedloraError(
      'E_CHECKPOINT',
      `the run has done ${step} steps, and is to do ${now} now; give at least ${step}, or resume an earlier checkpoint`,
      { step, totalSteps: now },
    )
  }
  const [old, next] = [scheduleContext(config, before), scheduleContext(config, now)]
  for (let i = 0; i < step; i++) {
    const [a, b] = [scheduleFactor(config.schedule, i, old), scheduleFactor(config.schedule, i, next)]
    if (a === b) continue
    const name = typeof config.schedule === 'function' ? 'the function' : `"${config.schedule.name}"`
    throw new FedloraError(
      'E_CHECKPOINT',
      `the run was begun with ${before} steps, now it is to do ${now}, but schedule ${name} depends on their number: ` +
        `step ${i + 1} had ${a} of the peak rate and would have ${b}; resume with ${before} steps, or start a new run from its ` +
        'adapter; runs with the schedules constant, constant_with_warmup and inverse_sqrt (and warmupSteps, not warmupRatio) can grow',
      { field: 'totalSteps', saved: before, now, step: i + 1 },
    )
  }
}
