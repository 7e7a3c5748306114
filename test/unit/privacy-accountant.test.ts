/** The accountant against golden settings (NumPy in float64, two formulas each), its laws, and what it refuses. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { orders, rdpOfStep } from '../../src/privacy/accountant/rdp.js'
import type { Spend } from '../../src/privacy/index.js'
import { epsilon, noiseFor } from '../../src/privacy/index.js'

interface Golden {
  orders: number[]
  settings: {
    q: number
    sigma: number
    steps: number
    delta: number
    rdp_epsilon: number
    rdp_order: number
    tight_epsilon: number
    tight_half_width: number
  }[]
  calibrate: { q: number; steps: number; delta: number; epsilon: number; sigma_rdp: number; sigma_tight: number }[]
  rdp_values: { q: number; sigma: number; order: number; rdp: number }[]
  tree: { sigma: number; height: number; delta: number; rdp_epsilon: number }[]
}
const golden: Golden = JSON.parse(readFileSync('test/golden/federated/dp.json', 'utf8'))
const names = ['rdp', 'pld'] as const

const relative = (got: number, wanted: number) => Math.abs(got - wanted) / Math.abs(wanted)

/** The golden's rule for a tight ε: from the truth (as known) to the truth and the slack that it states itself. */
const isTight = (got: number, slack: number, { tight_epsilon, tight_half_width }: Golden['settings'][number]) =>
  got >= tight_epsilon - tight_half_width && got <= tight_epsilon + slack && slack <= 1.2e-3 * Math.max(1, got)

t.test('Rényi: 40 settings, single orders, the tree of DP-FTRL', async (t) => {
  t.same(orders, golden.orders)
  for (const { q, sigma, steps, delta, rdp_epsilon, rdp_order } of golden.settings) {
    const got = epsilon({ sampleRate: q, noiseMultiplier: sigma, steps, delta, accountant: 'rdp' })
    t.ok(relative(got.epsilon, rdp_epsilon) <= 1e-8, `q ${q}, σ ${sigma}, ${steps} steps: ${got.epsilon}`)
    t.equal(got.order, rdp_order)
  }
  for (const { q, sigma, order, rdp } of golden.rdp_values) {
    const got = rdpOfStep({ sampleRate: q, noiseMultiplier: sigma }, order)
    t.ok(relative(got, rdp) <= 1e-8, `q ${q}, σ ${sigma}, order ${order}: ${got}`)
  }
  for (const { sigma, height, delta, rdp_epsilon } of golden.tree) {
    const got = epsilon({ sampleRate: 1, noiseMultiplier: sigma, steps: height, delta, accountant: 'rdp' })
    t.ok(relative(got.epsilon, rdp_epsilon) <= 1e-8, `tree of σ ${sigma}`)
  }
})

/**
 * Few steps of rare records, whose losses have two humps, and ε near nothing: [q, σ, steps, δ, ε]. By dp-accounting 0.6.0, whose connected dots
 * at intervals of 1e-5 are above the truth by less than 1e-5.
 */
const rare = [
  [0.00278, 1.803, 11, 1.23e-7, 0.0328824],
  [0.00066, 1.054, 2, 4.15e-8, 0.0301904],
  [0.00281, 1.705, 1, 6.41e-8, 0.0239753],
  [0.00787, 2.535, 1, 1.68e-8, 0.0335001],
  [0.00158, 1.211, 6, 9e-7, 0.0326671],
  [0.00445, 5.768, 2, 7.6e-8, 0.004812],
  [0.00255, 5.639, 2, 7.1e-7, 0.0021016],
  [0.0011, 5.572, 3, 9.8e-6, 0.0005775],
  [0.0141, 0.8, 1, 4.8e-8, 1.8844382],
  [0.154, 3.108, 72, 2e-8, 2.4453842],
  [0.00402, 5.594, 3, 6e-5, 0.0017525],
] as const

t.test('tight: few steps, rare records', async (t) => {
  for (const [sampleRate, noiseMultiplier, steps, delta, reference] of rare) {
    const { epsilon: got, slack } = epsilon({ sampleRate, noiseMultiplier, steps, delta })
    const where = `q ${sampleRate}, σ ${noiseMultiplier}, ${steps} steps: ${got}`
    t.ok(got >= reference - 1e-5, `${where} is not below`)
    t.ok(got - slack! <= reference, `${where} is at most ${slack} above`)
    t.ok(slack! <= 1.2e-3 * Math.max(1, got), where)
  }
})

t.test('tight: 40 settings, never below and not above what it states', async (t) => {
  for (const setting of golden.settings) {
    const { q, sigma, steps, delta } = setting
    const got = epsilon({ sampleRate: q, noiseMultiplier: sigma, steps, delta, accountant: 'pld' })
    t.ok(isTight(got.epsilon, got.slack!, setting), `q ${q}, σ ${sigma}, ${steps} steps: ${got.epsilon} (${got.slack})`)
    t.notOk(isTight(got.epsilon * 0.998 - 1e-3, got.slack!, setting), 'canary: less than the truth')
    t.notOk(isTight(got.epsilon * 1.002 + 1e-3, got.slack!, setting), 'canary: more than it states')
  }
})

t.test('noise for a budget', async (t) => {
  for (const { q, steps, delta, epsilon: budget, sigma_rdp, sigma_tight } of golden.calibrate) {
    for (const accountant of names) {
      const sigma = noiseFor({ epsilon: budget, delta, sampleRate: q, steps, accountant })
      const spent = epsilon({ sampleRate: q, noiseMultiplier: sigma, steps, delta, accountant }).epsilon
      t.ok(spent <= budget && spent >= 0.98 * budget, `${accountant}: ${spent} of ${budget}`)
      if (accountant === 'rdp') t.ok(relative(sigma, sigma_rdp) <= 1e-6, `σ ${sigma}, golden ${sigma_rdp}`)
      else t.ok(sigma >= sigma_tight * (1 - 1e-5) && sigma <= sigma_tight * 1.01, `σ ${sigma}, golden ${sigma_tight}`)
    }
  }
})

t.test('more steps, a higher rate and less noise spend more', async (t) => {
  const base: Spend = { sampleRate: 0.02, noiseMultiplier: 1.2, steps: 300 }
  const spent = (change: Partial<Spend>, accountant: 'rdp' | 'pld') =>
    epsilon({ ...base, ...change, delta: 1e-6, accountant }).epsilon
  const rises = (values: number[]) => values.every((value, i) => i === 0 || value > values[i - 1]!)
  for (const accountant of names) {
    t.ok(rises([1, 10, 100, 110, 120, 300, 1000].map((steps) => spent({ steps }, accountant))), 'steps')
    t.ok(rises([0.001, 0.01, 0.011, 0.02, 0.1, 0.5, 0.99, 1].map((q) => spent({ sampleRate: q }, accountant))), 'rate')
    t.ok(rises([5, 2, 1.9, 1.2, 1, 0.5, 0.3, 0.1].map((s) => spent({ noiseMultiplier: s }, accountant))), 'noise')
  }
  t.notOk(rises([1, 3, 2]), 'canary')
})

t.test('spends of several kinds add up', async (t) => {
  const a = { sampleRate: 0.02, noiseMultiplier: 1.2, steps: 150 }
  const b = { sampleRate: 0.1, noiseMultiplier: 3, steps: 40 }
  for (const accountant of names) {
    const of = (spends: Spend[]) => epsilon({ spends, delta: 1e-6, accountant }).epsilon
    const one = epsilon({ ...a, steps: 300, delta: 1e-6, accountant }).epsilon
    t.equal(of([a, a]), one, 'equal kinds are one')
    t.equal(of([a, { ...b, steps: 0 }, a]), one, 'no steps spend nothing')
    t.equal(of([a, b]), of([b, a]), 'in any order')
    t.ok(of([a, b]) > of([a]) && of([a, b]) > of([b]) && of([a, b]) < of([a]) + of([b]))
    t.equal(of([]), 0)
  }
  // Steps without sampling are normal in closed form; with a sampled step of no account beside them they come by the grid.
  const whole = { sampleRate: 1, noiseMultiplier: 20, steps: 50 }
  const exact = epsilon({ spends: [whole], delta: 1e-6 })
  const grid = epsilon({ spends: [whole, { sampleRate: 1e-9, noiseMultiplier: 10, steps: 1 }], delta: 1e-6 })
  t.ok(
    grid.epsilon >= exact.epsilon - exact.slack! && grid.epsilon <= exact.epsilon + grid.slack!,
    'grid = closed form',
  )
})

t.test('the ends of what can be asked', async (t) => {
  for (const accountant of names) {
    const of = (spend: Partial<Spend>, delta = 1e-6) =>
      epsilon({ sampleRate: 0.01, noiseMultiplier: 1, steps: 100, ...spend, delta, accountant }).epsilon
    t.equal(of({ noiseMultiplier: 0 }), Number.POSITIVE_INFINITY)
    t.equal(of({ noiseMultiplier: 0, steps: 0 }), 0)
    t.equal(of({ noiseMultiplier: 1e-200 }), Number.POSITIVE_INFINITY)
    t.ok(of({ noiseMultiplier: 1e-3 }) > 1e5)
    t.ok(of({}, 1e-100) > of({}, 1e-50))
    t.equal(of({}, 0.999), 0)
    t.ok(of({ sampleRate: 1e-9 }, 1e-12) < 1)
  }
  const many = epsilon({ sampleRate: 0.001, noiseMultiplier: 2, steps: 1e6, delta: 1e-7 })
  const rdp = epsilon({ sampleRate: 0.001, noiseMultiplier: 2, steps: 1e6, delta: 1e-7, accountant: 'rdp' })
  t.ok(many.epsilon < rdp.epsilon && many.epsilon > 0.8 * rdp.epsilon, 'a million steps')
})

t.test('what is no parameter is refused and named', async (t) => {
  const good = { sampleRate: 0.01, noiseMultiplier: 1, steps: 100, delta: 1e-6 }
  const bad: [string, unknown][] = [
    ...[0, -1, 1.01, Number.NaN, '0.1', null, [0.1], 5n].map((value) => ['sampleRate', value] as [string, unknown]),
    ...[-1, Number.NaN, Number.POSITIVE_INFINITY, '1', {}].map(
      (value) => ['noiseMultiplier', value] as [string, unknown],
    ),
    ...[1.5, -1, Number.NaN, 1e300, '3', true].map((value) => ['steps', value] as [string, unknown]),
    ...[0, 1, -1, 2, Number.NaN, '1e-5', undefined].map((value) => ['delta', value] as [string, unknown]),
    ...['gdp', 1, null].map((value) => ['accountant', value] as [string, unknown]),
    ['noise', 1],
  ]
  for (const [key, value] of bad) {
    t.throws(() => epsilon({ ...good, [key]: value }), {
      code: 'E_CONFIG',
      message: new RegExp(`epsilon: .*${key}`),
    })
  }
  for (const input of [null, undefined, 1, 'x', []]) t.throws(() => epsilon(input as never), { code: 'E_CONFIG' })
  t.throws(() => epsilon({ spends: [{ ...good }], delta: 1e-6 }), {
    code: 'E_CONFIG',
    message: /spends\[0\].delta/,
  })
  t.throws(() => epsilon({ spends: {}, delta: 1e-6 } as never), { code: 'E_CONFIG', message: /spends/ })

  const budget = { epsilon: 2, delta: 1e-5, sampleRate: 0.01, steps: 100 }
  for (const value of [0, -1, Number.NaN, '1', Number.POSITIVE_INFINITY]) {
    t.throws(() => noiseFor({ ...budget, epsilon: value } as never), { code: 'E_CONFIG', message: /noiseFor: epsilon/ })
  }
  t.throws(() => noiseFor({ ...budget, steps: 0 }), { code: 'E_CONFIG', message: /steps/ })
  t.throws(() => noiseFor({ ...budget, epsilon: 0.05, accountant: 'rdp' }), {
    code: 'E_CONFIG',
    message: /no noise.*'pld'/,
  })
  t.throws(() => noiseFor({ ...budget, delta: 0.5, sampleRate: 1e-4 }), {
    code: 'E_CONFIG',
    message: /any noise keeps it/,
  })
})
