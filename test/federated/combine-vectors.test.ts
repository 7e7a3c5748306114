/** Rules over the updates of a round: golden vectors in float64 and float32, laws, a rule of one's own by tiles, refusals. */
import t from 'tap'
import { combineVectors, type UpdateSet, type VectorRule } from '../../src/federated/index.js'
import { Random } from '../../src/random/random.js'
import { GoldenFile } from '../support/safetensors.js'
import { bytesOf } from '../support/train.js'

const golden = new GoldenFile('test/golden/federated/clients.safetensors')
const { lr, mu, rho } = JSON.parse(golden.metadata.parameters!)
const [clients, size, rounds] = [4, 6, 5]
const rows = [...golden.doubles('rows')]
const steps = [...golden.get('steps').values]
const cohort = golden.get('cohort').values

type Type = typeof Float32Array | typeof Float64Array
type Values = InstanceType<Type>

/** Gradient of client k's quadratic x'Hx/2 − g'x. */
function gradient(k: number, x: Values): number[] {
  const [H, g] = [golden.doubles('H'), golden.doubles('g')]
  return Array.from({ length: size }, (_, i) => {
    const row = H.subarray((k * size + i) * size, (k * size + i + 1) * size)
    return row.reduce((sum, h, j) => sum + h * x[j]!, -g[k * size + i]!)
  })
}

type Kind = 'sgd' | 'prox' | 'momentum'

/** A client's update after its steps. */
function work(k: number, x: Values, kind: Kind, Type: Type): Values {
  const y = Float64Array.from(x)
  const m = new Float64Array(size)
  for (let step = 0; step < steps[k]!; step++) {
    const g = gradient(k, y).map((value, i) => (kind === 'prox' ? value + mu * (y[i]! - x[i]!) : value))
    for (let i = 0; i < size; i++) {
      m[i] = (kind === 'momentum' ? rho * m[i]! : 0) + g[i]!
      y[i] = y[i]! - lr * m[i]!
    }
  }
  return Type.from(y.map((value, i) => value - x[i]!))
}

interface Case {
  golden: string
  kind: Kind
  rule: string
  options: (members: number[]) => object
}

const normalizer: Record<Kind, (tau: number) => number> = {
  sgd: (tau) => tau,
  prox: (tau) => (1 - (1 - lr * mu) ** tau) / (lr * mu),
  momentum: (tau) => (tau - (rho * (1 - rho ** tau)) / (1 - rho)) / (1 - rho),
}
const taus = (members: number[]) => members.map((k) => steps[k]!)
const a = (members: number[], kind: Kind) => taus(members).map(normalizer[kind])

const cases: Case[] = [
  { golden: 'fedavg', kind: 'sgd', rule: 'mean', options: () => ({}) },
  { golden: 'fedavg', kind: 'sgd', rule: 'fedavg', options: () => ({}) },
  { golden: 'fedprox', kind: 'prox', rule: 'mean', options: () => ({}) },
  { golden: 'fednova', kind: 'sgd', rule: 'fednova', options: (members) => ({ steps: taus(members) }) },
  { golden: 'fednova', kind: 'sgd', rule: 'fednova', options: (members) => ({ a: taus(members) }) },
  {
    golden: 'fednova_prox',
    kind: 'prox',
    rule: 'fednova',
    options: (members) => ({ steps: taus(members), a: a(members, 'prox') }),
  },
  {
    golden: 'fednova_momentum',
    kind: 'momentum',
    rule: 'fednova',
    options: (members) => ({ a: a(members, 'momentum') }),
  },
]

function farthest(
  { golden: name, kind, rule, options }: Case,
  Type: Type,
  change: (weights: number[]) => number[] = (weights) => weights,
): number {
  const expected = golden.doubles(`${name}.x`)
  const x = Type.from(golden.doubles('x0'))
  let worst = 0
  for (let round = 0; round < rounds; round++) {
    const members = Array.from({ length: clients }, (_, k) => k).filter((k) => cohort[round * clients + k] === 1)
    const updates = members.map((k) => work(k, x, kind, Type))
    const weights = change(members.map((k) => rows[k]!))
    const { value } = combineVectors(rule, { updates, weights, options: options(members) })
    for (let i = 0; i < size; i++) {
      x[i] = x[i]! + value[i]!
      const error = Math.abs(x[i]! - expected[round * size + i]!)
      if (!(error <= worst)) worst = error
    }
  }
  return worst
}

t.test('goldens of four clients over five rounds: double 1e-12, float32 1e-6', async (t) => {
  for (const one of cases) {
    const [double, single] = [farthest(one, Float64Array), farthest(one, Float32Array)]
    t.ok(double <= 1e-12, `${one.rule} ${one.golden} in double: ${double}`)
    t.ok(single <= 1e-6 && single > 1e-12, `${one.rule} ${one.golden} in float32: ${single}`)
    const uniform = (weights: number[]) => weights.map(() => 1)
    t.notOk(farthest(one, Float32Array, uniform) <= 1e-6, 'canary: other weights are seen')
  }
  const nova = cases.filter(({ rule }) => rule === 'fednova')
  for (const one of nova) {
    t.notOk(farthest({ ...one, options: () => ({}), rule: 'mean' }, Float32Array) <= 1e-6, 'canary: not normalised')
  }
})

t.test('fedswa: the running mean of the golden walk', async (t) => {
  const [walk, expected] = [golden.doubles('swa.x'), golden.doubles('swa.mean')]
  const { swa } = JSON.parse(golden.metadata.parameters!)
  const models = Array.from({ length: 9 }, (_, t) => walk.subarray(4 * t, 4 * t + 4))
  for (let round = 1; round <= 9; round++) {
    const call = (Type: Type) =>
      combineVectors('fedswa', { updates: models.slice(0, round).map((x) => Type.from(x)), options: swa })
    if (round < swa.start) {
      t.throws(() => call(Float64Array), { code: 'E_ARGUMENT', message: /none of the \d models.*round 3/ })
      continue
    }
    const { value, selected } = call(Float64Array)
    const single = call(Float32Array).value
    for (let i = 0; i < 4; i++) {
      t.ok(Math.abs(value[i]! - expected[4 * (round - 1) + i]!) <= 1e-12)
      t.ok(Math.abs(single[i]! - expected[4 * (round - 1) + i]!) <= 1e-6)
    }
    t.same(
      selected,
      [2, 4, 6, 8].filter((k) => k < round),
    )
  }
})

function draw(length: number, seed: number): Float32Array {
  const random = new Random(seed, 82)
  return Float32Array.from({ length }, () => random.normal() * 2 ** Math.floor(9 * random.uniform() - 6))
}

t.test('laws: one update is itself, equal ones are one, and the order changes no bit', async (t) => {
  for (const Type of [Float32Array, Float64Array]) {
    const updates = [1, 2, 3].map((seed) => Type.from(Array.from(draw(5003, seed), (value) => value * 1.1)))
    const [first] = updates as [Values]
    for (const weights of [[1], [37], [3, 5], [120, 37, 301, 64]]) {
      const copies = weights.map(() => first.slice())
      t.ok(bytesOf(combineVectors('mean', { updates: copies, weights }).value).equals(bytesOf(first)), `${weights}`)
    }
    const weights = [120, 37, 301]
    const forward = combineVectors('mean', { updates, weights })
    const backward = combineVectors('mean', { updates: updates.toReversed(), weights: weights.toReversed() })
    t.ok(bytesOf(forward.value).equals(bytesOf(backward.value)))
    t.equal(forward.value.constructor, Type)
    t.notOk(bytesOf(forward.value).equals(bytesOf(combineVectors('mean', { updates }).value)), 'canary: weights count')
    const equal = combineVectors('fednova', { updates, weights, options: { steps: [4, 4, 4] } }).value
    const worst = [...equal].reduce((most, value, i) => Math.max(most, Math.abs(value - forward.value[i]!)), 0)
    t.ok(worst <= 2 ** -24 * 16, `equal steps: FedAvg, ${worst}`)
  }
})

/** The median of each element, a tile at a time. */
const median: VectorRule<{ tile: number }> = {
  name: 'median',
  about: 'the middle value of each element',
  source: 'this test',
  needs: 'all',
  options: { safeParse: (value: unknown) => ({ success: true, data: value }) } as never,
  combine(updates: UpdateSet<never>, _weights, into, { tile }) {
    for (let begin = 0; begin < into.length; begin += tile) {
      const end = Math.min(begin + tile, into.length)
      const tiles = updates.ids.map((id) => updates.read(id, begin, end) as Values)
      for (let i = begin; i < end; i++) {
        const values = tiles.map((values) => values[i - begin]!).sort((p, q) => p - q)
        into[i] = values[values.length >> 1]!
      }
    }
    return { selected: [1] }
  },
}

t.test('a rule of one’s own reads the updates by tiles', async (t) => {
  for (const Type of [Float32Array, Float64Array]) {
    const updates = [Type.of(1, 5, 3), Type.of(2, 2, 2), Type.of(9, 1, 4)]
    for (const tile of [1, 2, 10]) {
      const { value, selected } = combineVectors(median as VectorRule, { updates, options: { tile } })
      t.same([...value], [2, 2, 3])
      t.equal(value.constructor, Type)
      t.same(selected, [1])
    }
  }
})

t.test('what is refused', async (t) => {
  const updates = [new Float32Array(3), new Float32Array(3)]
  const known = /known are mean, fednova, fedswa, krum, .*, fltrust, fedavg, or a rule of your own/
  t.throws(() => combineVectors('meen', { updates }), { code: 'E_CONFIG', message: /did you mean "mean"/ })
  for (const name of ['no such rule', 'toString', 7, null, {}] as never[]) {
    t.throws(() => combineVectors(name, { updates }), { code: 'E_CONFIG', message: known }, `${name}`)
  }
  const bad = Float32Array.of(1, Number.NaN, 3)
  const bad64 = Float64Array.of(1, Number.POSITIVE_INFINITY, 3)
  const table: [string, object, string, RegExp][] = [
    ['mean', { updates: [] }, 'E_ARGUMENT', /at least one vector/],
    ['mean', { updates: undefined }, 'E_ARGUMENT', /updates/],
    ['mean', { updates: [[1, 2]] }, 'E_ARGUMENT', /updates\[0\]/],
    ['mean', { updates: [updates[0], new Float32Array(2)] }, 'E_SHAPE', /updates\[1\] has 2 values, expected 3/],
    ['mean', { updates: [updates[0], new Float64Array(3)] }, 'E_ARGUMENT', /Float64Array/],
    ['mean', { updates, weights: [1] }, 'E_ARGUMENT', /weights.*2 numbers above 0/],
    ['mean', { updates, weights: [1, 0] }, 'E_ARGUMENT', /weights/],
    ['mean', { updates, weights: [1, -2] }, 'E_ARGUMENT', /weights/],
    ['mean', { updates, weights: [1, Number.NaN] }, 'E_ARGUMENT', /weights/],
    ['mean', { updates, weights: '12' }, 'E_ARGUMENT', /weights/],
    ['mean', { updates: [bad, bad] }, 'E_NONFINITE', /element 1/],
    ['mean', { updates: [bad64, bad64] }, 'E_NONFINITE', /updates\[0\]: element 1/],
    ['mean', { updates, options: { f: 1 } }, 'E_CONFIG', /unknown key "f"/],
    ['fednova', { updates }, 'E_CONFIG', /steps, a, or both/],
    ['fednova', { updates, options: { steps: [1, 0] } }, 'E_CONFIG', /steps/],
    ['fednova', { updates, options: { steps: [1, 2, 3] } }, 'E_ARGUMENT', /steps has 3 entries/],
    ['fednova', { updates, options: { a: [1], steps: [1, 2] } }, 'E_ARGUMENT', /a has 1 entries/],
    ['fedswa', { updates, options: { start: 3 } }, 'E_ARGUMENT', /none of the 2 models/],
    ['fedswa', { updates, options: { every: 0 } }, 'E_CONFIG', /every/],
  ]
  for (const [rule, given, code, message] of table) {
    t.throws(() => combineVectors(rule, given as never), { code, message }, `${rule}: ${message}`)
  }
})
