/** Private training without an engine: who is drawn, with which keys, what a budget allows, what is spent. */
import t from 'tap'
import { FedloraError } from '../../src/errors.js'
import { epsilon } from '../../src/privacy/epsilon.js'
import { parseTrainOptions, type TrainOptions } from '../../src/training/options.js'
import { poissonRows } from '../../src/training/poisson-rows.js'
import { type ExamplePrivacy, epsilonAfter, planPrivacy } from '../../src/training/privacy-options.js'
import { stepKeys } from '../../src/training/private-steps.js'
import { Spending } from '../../src/training/spending.js'

const keyOf = (step: number) => stepKeys('seeded', 5, step).rows

function refused(work: () => unknown): FedloraError {
  try {
    work()
  } catch (error) {
    if (error instanceof FedloraError) return error
    throw error
  }
  throw new Error('nothing was refused')
}

t.test('each row is drawn by itself with the rate: mean and variance of the number, each row’s share, pairs', (t) => {
  const [rows, rate, draws] = [400, 0.07, 2000]
  const counts = new Float64Array(rows)
  let [sum, squares, both, ordered] = [0, 0, 0, true]
  for (let step = 0; step < draws; step++) {
    const drawn = poissonRows(rows, rate, keyOf(step))
    sum += drawn.length
    squares += drawn.length ** 2
    for (const row of drawn) counts[row]!++
    both += drawn.includes(3) && drawn.includes(4) ? 1 : 0
    ordered &&= drawn.every((row, i) => row < rows && (i === 0 || row > drawn[i - 1]!))
  }
  t.ok(ordered)
  const mean = sum / draws
  const variance = rows * rate * (1 - rate)
  t.ok(Math.abs(mean - rows * rate) <= 5 * Math.sqrt(variance / draws), `mean ${mean}`)
  // A fixed number of rows would have variance 0; five standard errors of a variance.
  t.ok(Math.abs(squares / draws - mean ** 2 - variance) <= 5 * variance * Math.sqrt(2 / draws))
  const spread = Math.sqrt(rate * (1 - rate) * draws)
  t.ok(counts.every((count) => Math.abs(count - rate * draws) <= 5 * spread))
  t.ok(Math.abs(both - rate ** 2 * draws) <= 5 * Math.sqrt(rate ** 2 * draws))
  t.notOk(Math.abs(sum / draws - rows * rate * 1.05) <= 5 * Math.sqrt(variance / draws), 'canary: another rate')
  t.end()
})

t.test('a rate of 1 draws everybody, few rows at times nobody; pieces of a long list are one stream', (t) => {
  t.same(poissonRows(5, 1, keyOf(1)), [0, 1, 2, 3, 4])
  t.ok(Array.from({ length: 50 }, (_, step) => poissonRows(3, 0.1, keyOf(step))).some((drawn) => drawn.length === 0))
  const many = poissonRows(200_000, 0.01, keyOf(1))
  t.same(
    poissonRows(70_000, 0.01, keyOf(1)),
    many.filter((row) => row < 70_000),
  )
  t.ok(Math.abs(many.filter((row) => row >= 131_072).length - 689) <= 5 * Math.sqrt(682))
  t.end()
})

t.test(
  'keys: secure ones are new each time, seeded ones are of seed and step; draw and noise have different ones',
  (t) => {
    const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
    const all = [1, 2].flatMap((seed) => [1, 2].map((step) => stepKeys('seeded', seed, step)))
    const names = all.flatMap(({ rows, noise }) => [hex(rows), hex(noise)])
    t.equal(new Set(names).size, 8)
    t.ok(names.every((name) => name.length === 64))
    t.equal(hex(stepKeys('seeded', 2, 1).noise), hex(all[2]!.noise))
    t.not(hex(stepKeys('secure', 2, 1).noise), hex(stepKeys('secure', 2, 1).noise))
    t.end()
  },
)

const privacy: ExamplePrivacy = { clip: 1, noiseMultiplier: 1, delta: 1e-5, accountant: 'rdp', noise: 'seeded' }
const run = { rows: 1000, batch: 50, steps: 40 }

t.test('a plan: rate and denominator of the batch, noise of the budget, steps that a budget lasts for', (t) => {
  const plain = planPrivacy(privacy, run, 'test')
  t.match(plain, { sampleRate: 0.05, expectedExamples: 50, noiseMultiplier: 1, mostSteps: Number.POSITIVE_INFINITY })
  t.match(planPrivacy(privacy, { ...run, batch: 5000 }, 'test'), { sampleRate: 1, expectedExamples: 1000 })

  const { noiseMultiplier: _, ...budgetOnly } = privacy
  const budgeted = planPrivacy({ ...budgetOnly, epsilon: 3 }, run, 'test')
  t.equal(budgeted.mostSteps, 40)
  const spent = epsilon({
    sampleRate: 0.05,
    noiseMultiplier: budgeted.noiseMultiplier,
    steps: 40,
    delta: 1e-5,
    accountant: 'rdp',
  })
  t.ok(spent.epsilon <= 3 && spent.epsilon >= 0.98 * 3, `${spent.epsilon}`)

  const both = planPrivacy({ ...privacy, epsilon: 2 }, run, 'test')
  t.ok(both.mostSteps > 0 && both.mostSteps < 40)
  t.ok(epsilonAfter(both, both.mostSteps) <= 2 && epsilonAfter(both, both.mostSteps + 1) > 2)
  t.equal(planPrivacy({ ...privacy, epsilon: 1e3 }, run, 'test').mostSteps, 40)
  t.end()
})

t.test('what a plan refuses, and in which words', (t) => {
  const { noiseMultiplier: _, ...neither } = privacy
  const cases: [ExamplePrivacy, RegExp][] = [
    [neither, /noiseMultiplier or privacy.epsilon is needed/],
    [{ ...privacy, noiseMultiplier: 0, epsilon: 1 }, /noiseMultiplier is 0 and keeps no epsilon/],
    [{ ...privacy, delta: 1e-3 }, /delta is 0.001 for 1000 rows/],
    [{ ...privacy, noiseMultiplier: 0.3, epsilon: 0.1 }, /the first step would spend/],
  ]
  for (const [wrong, words] of cases)
    t.match(
      refused(() => planPrivacy(wrong, run, 'test')),
      { code: 'E_CONFIG', message: words },
    )
  t.equal(planPrivacy({ ...privacy, noiseMultiplier: 0 }, run, 'test').noiseMultiplier, 0)
  t.end()
})

t.test('options: what private steps cannot have is refused by name; maxGradNorm is off', (t) => {
  const options = { privacy: { clip: 1, noiseMultiplier: 1, delta: 1e-5 } } satisfies TrainOptions
  t.equal(parseTrainOptions(options).maxGradNorm, 0)
  t.equal(parseTrainOptions({ ...options, maxGradNorm: 0 }).maxGradNorm, 0)
  t.equal(parseTrainOptions({}).maxGradNorm, 1, 'canary')
  for (const wrong of [{ packing: true }, { shuffle: false }, { maxGradNorm: 1 }]) {
    const [field] = Object.keys(wrong)
    t.match(
      refused(() => parseTrainOptions({ ...options, ...wrong })),
      { code: 'E_CONFIG', message: `${field} and privacy exclude` },
    )
  }
  const values: unknown[] = [
    { noiseMultiplier: 1, delta: 1e-5 },
    { clip: 0, noiseMultiplier: 1, delta: 1e-5 },
    { clip: Number.POSITIVE_INFINITY, noiseMultiplier: 1, delta: 1e-5 },
    { clip: 1, noiseMultiplier: Number.NaN, delta: 1e-5 },
    { clip: 1, noiseMultiplier: -1, delta: 1e-5 },
    { clip: 1, noiseMultiplier: '1', delta: 1e-5 },
    { clip: 1, epsilon: 0, delta: 1e-5 },
    { clip: 1, epsilon: 1, delta: 1 },
    { clip: 1, epsilon: 1 },
    { clip: 1, epsilon: 1, delta: 1e-5, noise: 'none' },
    { clip: 1, epsilon: 1, delta: 1e-5, sigma: 1 },
    [],
    null,
  ]
  for (const value of values) {
    t.equal(
      refused(() => parseTrainOptions({ privacy: value } as TrainOptions)).code,
      'E_CONFIG',
      JSON.stringify(value),
    )
  }
  t.end()
})

t.test(
  'spending: ε grows and is never below the truth; a budget ends; what was seen before a resumed step counts',
  (t) => {
    const plan = planPrivacy({ ...privacy, epsilon: 2 }, { ...run, steps: 200 }, 'test')
    const spending = new Spending(plan, 'secure', 200)
    let before = 0
    for (let step = 1; step <= plan.mostSteps; step++) {
      const now = spending.epsilonAt(step)
      t.ok(now >= before && now >= epsilonAfter(plan, step) - 1e-12 && now <= 2, `step ${step}: ${now}`)
      before = now
    }
    t.ok(spending.lasts(plan.mostSteps - 1) && !spending.lasts(plan.mostSteps))
    t.match(spending.at(7), { steps: 7, epsilon: epsilonAfter(plan, 7), delta: 1e-5, sampleRate: 0.05 })

    const resumed = new Spending(plan, 'secure', 200)
    resumed.resume(3, 5)
    t.equal(resumed.stepsAt(4), 6, 'steps 4 and 5 are done again with other noise')
    t.notOk(resumed.lasts(plan.mostSteps - 2))
    const seeded = new Spending(plan, 'seeded', 200)
    seeded.resume(3, 5)
    t.same([seeded.stepsAt(3), seeded.stepsAt(4), seeded.stepsAt(6)], [5, 5, 6], 'the same bits show nothing new')
    t.end()
  },
)
