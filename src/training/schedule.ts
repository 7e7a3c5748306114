/**
 * Learning-rate schedules as transformers' get_scheduler defines them: the factor by which optimiser step i (from 0) multiplies the
 * peak rate. With W warm-up and S total steps, i < W gives i/W; after that p = (i − W)/(S − W) and
 *   linear 1 − p · cosine ½(1 + cos(2π·cycles·p)) · cosine_with_restarts ½(1 + cos(π·(cycles·p mod 1)))
 *   polynomial (1 − p)^power between the peak and the end rate · inverse_sqrt 1/√((i + shift)/timescale)
 *   cosine_with_min_lr: the cosine, squeezed to [minRatio, 1]
 */
import { z } from 'zod'
import { FedloraError } from '../errors.js'

export const scheduleNames = [
  'constant',
  'constant_with_warmup',
  'linear',
  'cosine',
  'polynomial',
  'inverse_sqrt',
  'cosine_with_restarts',
  'cosine_with_min_lr',
] as const

export type ScheduleName = (typeof scheduleNames)[number]

/** A multiplier of the learning rate for a step (from 0) of `steps`. */
export type ScheduleFunction = (step: number, steps: number) => number

const scheduleObject = z.strictObject({
  name: z.enum(scheduleNames),
  cycles: z.number().positive().optional().describe('cosine: waves, default 0.5; cosine_with_restarts: default 1'),
  power: z.number().positive().default(1).describe('polynomial'),
  endLearningRate: z.number().min(0).default(1e-7).describe('polynomial: rate at the end'),
  minRatio: z.number().min(0).max(1).default(0).describe('cosine_with_min_lr: share of the peak rate at the end'),
  timescale: z.int().min(1).optional().describe('inverse_sqrt: default the warm-up steps, or 10000'),
})

export const scheduleSchema = z.union([
  z.enum(scheduleNames).transform((name) => scheduleObject.parse({ name })),
  scheduleObject,
  z.custom<ScheduleFunction>((value) => typeof value === 'function', 'expected a function'),
])

/** A schedule's name, a name with parameters, or a function of (step from 0, total steps) giving the factor. */
export type ScheduleOptions = z.input<typeof scheduleSchema>

export type Schedule = z.output<typeof scheduleSchema>

export interface ScheduleContext {
  /** Total optimiser steps. */
  steps: number
  warmup: number
  /** The peak learning rate. */
  peak: number
}

function polynomial(step: number, { steps, warmup, peak }: ScheduleContext, power: number, end: number): number {
  if (step > steps || steps === warmup) return end / peak
  const remaining = 1 - (step - warmup) / (steps - warmup)
  return ((peak - end) * remaining ** power + end) / peak
}

/**
 * The factor of step `step` (from 0).
 * @throws FedloraError `E_CONFIG` when a polynomial's end rate is not below the peak, or a function gives no finite number.
 */
export function scheduleFactor(schedule: Schedule, step: number, context: ScheduleContext): number {
  const { steps, warmup, peak } = context
  if (typeof schedule === 'function') {
    const factor = schedule(step, steps)
    if (!Number.isFinite(factor)) {
      throw new FedloraError(
        'E_CONFIG',
        `schedule: the function gave ${factor} for step ${step}, expected a finite number`,
      )
    }
    return factor
  }
  const { name } = schedule
  if (name === 'polynomial' && !(peak > schedule.endLearningRate)) {
    throw new FedloraError(
      'E_CONFIG',
      `schedule.endLearningRate: got ${schedule.endLearningRate}, expected less than learningRate (${peak})`,
    )
  }
  if (name === 'constant') return 1
  if (step < warmup) return step / Math.max(1, warmup)
  const progress = (step - warmup) / Math.max(1, steps - warmup)
  switch (name) {
    case 'constant_with_warmup':
      return 1
    case 'linear':
      return Math.max(0, (steps - step) / Math.max(1, steps - warmup))
    case 'cosine':
      return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * (schedule.cycles ?? 0.5) * 2 * progress)))
    case 'cosine_with_restarts':
      if (progress >= 1) return 0
      return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * (((schedule.cycles ?? 1) * progress) % 1))))
    case 'cosine_with_min_lr': {
      const wave = 0.5 * (1 + Math.cos(Math.PI * (schedule.cycles ?? 0.5) * 2 * progress))
      return Math.max(0, wave * (1 - schedule.minRatio) + schedule.minRatio)
    }
    case 'polynomial':
      return polynomial(step, context, schedule.power, schedule.endLearningRate)
    case 'inverse_sqrt': {
      const timescale = schedule.timescale ?? (warmup || 10000)
      return 1 / Math.sqrt((step + timescale - warmup) / timescale)
    }
  }
}
