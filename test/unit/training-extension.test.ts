/** Longer and shorter runs: the horizon of a schedule, and which runs may get another length. */
import t from 'tap'
import { checkExtension, scheduleContext } from '../../src/training/extension.js'
import type { Schedule } from '../../src/training/schedule.js'

t.test('warm-up: none unless it is asked for, in steps or as a share that is rounded up', async (t) => {
  t.same(scheduleContext({ learningRate: 2 }, 10), { steps: 10, warmup: 0, peak: 2 })
  t.equal(scheduleContext({ learningRate: 2, warmupRatio: 0.25 }, 10).warmup, 3)
  t.equal(scheduleContext({ learningRate: 2, warmupSteps: 4 }, 10).warmup, 4)
})

t.test('a run may get another length while the rates that it used stay the same', async (t) => {
  const check = (schedule: Schedule, done: number, before: number, now: number, unit: 'step' | 'round' = 'step') =>
    checkExtension({ unit, done, before, now, schedule, horizon: (steps) => ({ steps, warmup: 2, peak: 1 }) })
  const named = (name: 'constant' | 'constant_with_warmup' | 'linear') =>
    ({ name, power: 1, endLearningRate: 0, minRatio: 0 }) as Schedule
  t.doesNotThrow(() => check(named('linear'), 5, 10, 10), 'the same length')
  for (const name of ['constant', 'constant_with_warmup'] as const) {
    t.doesNotThrow(() => check(named(name), 5, 10, 20), name)
    t.doesNotThrow(() => check(named(name), 5, 10, 5), `${name}: ends at once`)
  }
  t.throws(() => check(named('constant'), 5, 10, 4), {
    code: 'E_CHECKPOINT',
    message: /has done 5 steps, and is to do 4 now/,
    details: { field: 'totalSteps', saved: 10, now: 4 },
  })
  // Both rise alike over two steps: i/2; step 3 (i = 2) has 8/8 and 18/18, step 4 has 7/8 and 17/18.
  t.doesNotThrow(() => check(named('linear'), 3, 10, 20))
  t.throws(() => check(named('linear'), 4, 10, 20, 'round'), {
    code: 'E_CHECKPOINT',
    message: /round 4 had 0\.875 of the peak rate and would have 0\.94444/,
    details: { field: 'federation.rounds', saved: 10, now: 20 },
  })
  t.throws(() => check((step, steps) => step / steps, 2, 10, 20), { message: /schedule the function depends/ })
})
