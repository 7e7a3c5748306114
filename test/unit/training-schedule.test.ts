/** Learning-rate schedules against transformers' own, step by step. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { type ScheduleOptions, scheduleFactor, scheduleSchema } from '../../src/training/schedule.js'

interface GoldenSchedule {
  name: string
  arguments: { num_cycles?: number; power?: number; lr_end?: number; min_lr_rate?: number }
  steps: number
  warmup: number
  peak: number
  lr: number[]
}

const golden = JSON.parse(readFileSync('test/golden/schedules.json', 'utf8')) as GoldenSchedule[]

function rates({ name, arguments: a, steps, warmup, peak }: GoldenSchedule): number[] {
  const options = {
    name,
    ...(a.num_cycles === undefined ? {} : { cycles: a.num_cycles }),
    ...(a.power === undefined ? {} : { power: a.power }),
    ...(a.lr_end === undefined ? {} : { endLearningRate: a.lr_end }),
    ...(a.min_lr_rate === undefined ? {} : { minRatio: a.min_lr_rate }),
  }
  const schedule = scheduleSchema.parse(options as ScheduleOptions)
  return Array.from({ length: steps }, (_, step) => peak * scheduleFactor(schedule, step, { steps, warmup, peak }))
}

function worst(got: number[], want: number[]): number {
  let error = got.length === want.length ? 0 : Number.NaN
  for (const [i, value] of want.entries()) {
    const difference = Math.abs(got[i]! - value) / Math.max(Math.abs(value), 1e-12)
    if (!(difference <= error)) error = difference
  }
  return error
}

for (const row of golden) {
  t.test(`${row.name} ${JSON.stringify(row.arguments)}, ${row.steps} steps, warm-up ${row.warmup}`, (t) => {
    t.ok(worst(rates(row), row.lr) <= 1e-15)
    t.end()
  })
}

t.test('every schedule is judged', (t) => {
  t.equal(new Set(golden.map((row) => row.name)).size, 8)
  t.end()
})

t.test('canary: a warm-up that starts one step late is seen', (t) => {
  const row = golden.find(({ name, warmup }) => name === 'cosine' && warmup === 3)!
  t.notOk(worst(rates({ ...row, warmup: 4 }), row.lr) <= 1e-15)
  t.end()
})

t.test('a name alone, a function, and what is refused', (t) => {
  const context = { steps: 10, warmup: 0, peak: 1e-3 }
  t.equal(scheduleFactor(scheduleSchema.parse('linear'), 5, context), 0.5)
  t.equal(
    scheduleFactor(
      scheduleSchema.parse((step: number, steps: number) => step / steps),
      5,
      context,
    ),
    0.5,
  )
  t.throws(
    () =>
      scheduleFactor(
        scheduleSchema.parse(() => Number.NaN),
        5,
        context,
      ),
    { code: 'E_CONFIG' },
  )
  t.throws(() => scheduleFactor(scheduleSchema.parse({ name: 'polynomial', endLearningRate: 1 }), 0, context), {
    code: 'E_CONFIG',
  })
  t.notOk(scheduleSchema.safeParse('cosinus').success)
  t.notOk(scheduleSchema.safeParse({ name: 'cosine', cycle: 1 }).success)
  for (const [bounds, good] of [
    [{ timescale: 1 }, true],
    [{ timescale: 0 }, false],
    [{ minRatio: 0 }, true],
    [{ minRatio: 1 }, true],
    [{ minRatio: 1.01 }, false],
    [{ minRatio: -0.01 }, false],
    [{ endLearningRate: 0 }, true],
    [{ endLearningRate: -1e-9 }, false],
    [{ power: 0 }, false],
    [{ cycles: 0 }, false],
  ] as const) {
    t.equal(scheduleSchema.safeParse({ name: 'linear', ...bounds }).success, good, JSON.stringify(bounds))
  }
  t.end()
})

t.test('at the end and behind it', (t) => {
  const factor = (options: ScheduleOptions, step: number, warmup = 2) =>
    scheduleFactor(scheduleSchema.parse(options), step, { steps: 10, warmup, peak: 1e-2 })
  const polynomial = { name: 'polynomial', endLearningRate: 1e-4 } as const
  t.equal(factor(polynomial, 11), 1e-2, 'the end rate as a part of the peak')
  t.equal(factor(polynomial, 10, 10), 1e-2, 'nothing but warm-up')
  t.equal(factor('linear', 10), 0)
  t.equal(factor('linear', 13), 0, 'and does not climb again below')
  t.equal(factor('cosine_with_restarts', 10), 0)
  t.equal(factor('cosine_with_restarts', 6), 0.5, 'one wave')
  t.equal(factor('cosine_with_restarts', 2), 1)
  t.end()
})
