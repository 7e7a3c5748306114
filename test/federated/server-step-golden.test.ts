/** The server's step against golden vectors, in float64 and float32; its state kept and given back; what the door refuses. */
import t from 'tap'
import { createServerStep, type ServerRule, type ServerStepOptions } from '../../src/federated/index.js'
import { Random } from '../../src/random/random.js'
import { GoldenFile } from '../support/safetensors.js'
import { bytesOf } from '../support/train.js'

const golden = new GoldenFile('test/golden/federated/server.safetensors')
const { eta, beta1, beta2, tau } = JSON.parse(golden.metadata.parameters!)
const [rounds, length] = [6, 12]
const sizes = { learningRate: eta, beta1, beta2, epsilon: tau }
const rows = (name: string) =>
  Array.from({ length: rounds }, (_, t) => golden.doubles(name).subarray(t * length, (t + 1) * length))

interface Case {
  golden: string
  rule: ServerRule
  options?: ServerStepOptions
  /** Steps before the first. */
  steps?: number
}

const cases: Case[] = [
  { golden: 'momentum', rule: 'momentum' },
  { golden: 'nesterov', rule: 'nesterov' },
  { golden: 'adam', rule: 'adam' },
  { golden: 'yogi', rule: 'yogi' },
  { golden: 'adagrad', rule: 'adagrad' },
  { golden: 'adam_tau2', rule: 'adam', options: { initialSecondMoment: tau ** 2 } },
  { golden: 'yogi_tau2', rule: 'yogi', options: { initialSecondMoment: tau ** 2 } },
  { golden: 'adagrad_tau2', rule: 'adagrad', options: { initialSecondMoment: tau ** 2 } },
  { golden: 'adam_kingma', rule: 'adam', options: { biasCorrection: true } },
  // Flower 1.42 corrects by the exponent of the next step.
  { golden: 'adam_flwr', rule: 'adam', options: { biasCorrection: true }, steps: 1 },
]

type Type = typeof Float32Array | typeof Float64Array

/** Largest distance of x, m and v from the golden ones over all rounds. */
function farthest({ golden: name, rule, options, steps = 0 }: Case, Type: Type, changed: ServerStepOptions = {}) {
  const zeros = () => new Type(length)
  const server = createServerStep(
    rule,
    { ...sizes, ...options, ...changed },
    steps === 0 ? undefined : { moment1: zeros(), moment2: zeros(), steps },
  )
  const x = Type.from(golden.doubles('x0'))
  const expected = { x: rows(`${name}.x`), moment1: rows(`${name}.m`), moment2: rows(`${name}.v`) }
  let worst = 0
  for (const [t, delta] of rows('delta').entries()) {
    server.step(x, Type.from(delta))
    for (const [what, values] of Object.entries({ ...server.state, x })) {
      if (typeof values === 'number') continue
      for (let i = 0; i < values.length; i++) {
        const error = Math.abs(values[i]! - expected[what as 'x'][t]![i]!)
        if (!(error <= worst)) worst = error
      }
    }
  }
  return worst
}

t.test('every rule of the goldens: double 1e-13, float32 1e-6', async (t) => {
  for (const one of cases) {
    const [double, single] = [farthest(one, Float64Array), farthest(one, Float32Array)]
    t.ok(double <= 1e-13, `${one.golden} in double: ${double}`)
    t.ok(single <= 1e-6 && single > 1e-12, `${one.golden} in float32: ${single}`)
    for (const changed of [{ learningRate: eta + 1e-4 }, { beta1: beta1 + 1e-4 }, { epsilon: 1.01 * tau }]) {
      if ('epsilon' in changed && ['momentum', 'nesterov'].includes(one.rule)) continue
      t.notOk(farthest(one, Float64Array, changed) <= 1e-13, `canary: ${one.golden} with ${JSON.stringify(changed)}`)
      t.notOk(farthest(one, Float32Array, changed) <= 1e-6, `canary: ${one.golden} in float32 too`)
    }
  }
  const [adam, kingma] = cases.filter(({ golden }) => golden === 'adam' || golden === 'adam_kingma')
  t.notOk(farthest({ ...kingma!, options: {} }, Float32Array) <= 1e-6, 'canary: without its correction')
  t.notOk(farthest({ ...adam!, rule: 'yogi' }, Float32Array) <= 1e-6, 'canary: another rule')
})

t.test(
  'laws: β₁ = 0 makes momentum and nesterov the plain step; a mean of zeros changes only what remembers',
  async (t) => {
    const mean = Float32Array.from({ length: 1000 }, (_, i) => Math.sin(i))
    const after = (name: ServerRule, options: ServerStepOptions) => {
      const x = Float32Array.from(mean, (value) => 2 - value)
      createServerStep(name, options).step(x, mean)
      return bytesOf(x)
    }
    const plain = after('none', { learningRate: 0.3 })
    for (const name of ['momentum', 'nesterov'] as const) {
      t.ok(after(name, { learningRate: 0.3, beta1: 0 }).equals(plain), name)
      t.equal(after(name, { learningRate: 0.3 }).equals(plain), name === 'momentum', 'canary: β₁ is seen')
    }
    for (const name of ['none', 'momentum', 'nesterov', 'adam', 'yogi', 'adagrad'] as const) {
      const x = Float64Array.of(1, -2)
      createServerStep(name).step(x, new Float64Array(2))
      t.same([...x], [1, -2], name)
    }
  },
)

t.test('in float32 the bits are those of plain loops: in double, each result rounded once', async (t) => {
  const random = new Random(6, 81)
  const draw = () =>
    Float32Array.from({ length: 300_001 }, () => random.normal() * 2 ** Math.floor(9 * random.uniform() - 6))
  const [rate, b1, b2, e] = [0.05, 0.8, 0.95, 0.002]
  const loops = {
    none: (x, d, _m, _v, i) => {
      x[i] = x[i]! + rate * d[i]!
    },
    momentum: (x, d, m, _v, i) => {
      m[i] = b1 * m[i]! + d[i]!
      x[i] = x[i]! + rate * m[i]!
    },
    adam: (x, d, m, v, i) => {
      m[i] = b1 * m[i]! + (1 - b1) * d[i]!
      v[i] = b2 * v[i]! + (1 - b2) * d[i]! * d[i]!
      x[i] = x[i]! + (rate * m[i]!) / (Math.sqrt(v[i]!) + e)
    },
  } satisfies Record<string, (x: Float32Array, d: Float32Array, m: Float32Array, v: Float32Array, i: number) => void>
  for (const [name, loop] of Object.entries(loops)) {
    const x = draw()
    const expected = x.slice()
    const [m, v] = [new Float32Array(x.length), new Float32Array(x.length)]
    const server = createServerStep(name as ServerRule, { learningRate: rate, beta1: b1, beta2: b2, epsilon: e })
    for (let round = 0; round < 3; round++) {
      const mean = draw()
      server.step(x, mean)
      for (let i = 0; i < x.length; i++) loop(expected, mean, m, v, i)
    }
    t.ok(bytesOf(x).equals(bytesOf(expected)), name)
    expected[7]! += 1e-6
    t.notOk(bytesOf(x).equals(bytesOf(expected)), 'canary')
  }
})

t.test('a state that was kept goes on bit for bit, the count of steps with it', async (t) => {
  const random = new Random(5, 80)
  const means = Array.from({ length: 6 }, () => Float32Array.from({ length: 3000 }, () => random.normal()))
  const rules: [ServerRule, ServerStepOptions][] = [
    ['none', {}],
    ['momentum', {}],
    ['nesterov', {}],
    ['adam', { biasCorrection: true }],
    ['yogi', { initialSecondMoment: 1e-6 }],
    ['adagrad', {}],
  ]
  for (const [name, options] of rules) {
    const straight = new Float32Array(3000)
    const whole = createServerStep(name, options)
    for (const mean of means) whole.step(straight, mean)
    const resumed = new Float32Array(3000)
    const first = createServerStep(name, options)
    for (const mean of means.slice(0, 3)) first.step(resumed, mean)
    const kept = structuredClone(first.state)
    t.equal(kept.steps, 3)
    const second = createServerStep(name, options, kept)
    for (const mean of means.slice(3)) second.step(resumed, mean)
    t.ok(bytesOf(resumed).equals(bytesOf(straight)), name)
    t.equal(second.state.steps, 6)
    if (name !== 'adam') continue
    t.same(kept, first.state, 'the state given is copied')
    const forgetful = createServerStep(name, options, { ...kept, steps: 0 })
    const other = new Float32Array(3000)
    for (const mean of means.slice(3)) forgetful.step(other, mean)
    const counted = createServerStep(name, options, kept)
    const right = new Float32Array(3000)
    for (const mean of means.slice(3)) counted.step(right, mean)
    t.notOk(bytesOf(other).equals(bytesOf(right)), 'canary: a lost count differs')
  }
})

t.test('what the door refuses', async (t) => {
  const message = /got "adma" \(did you mean "adam"\?\), known are none, momentum, nesterov, adam, yogi, adagrad/
  t.throws(() => createServerStep('adma' as never), { code: 'E_CONFIG', message })
  for (const name of ['nothing of the kind', 'toString', 7, undefined] as never[]) {
    t.throws(() => createServerStep(name), { code: 'E_CONFIG', message: /known are none/ })
  }
  const options: [ServerRule, object, RegExp][] = [
    ['adam', { learningrate: 1 }, /did you mean "learningRate"/],
    ['adam', { learningRate: 0 }, /learningRate/],
    ['adam', { beta1: 1 }, /beta1/],
    ['adam', { beta2: -0.1 }, /beta2/],
    ['adam', { epsilon: 0 }, /epsilon/],
    ['adam', { initialSecondMoment: -1 }, /initialSecondMoment/],
    ['momentum', { initialSecondMoment: 1 }, /initialSecondMoment.*momentum has no second moment/],
    ['yogi', { biasCorrection: true }, /biasCorrection.*yogi has none/],
  ]
  for (const [name, given, message] of options) {
    t.throws(() => createServerStep(name, given), { code: 'E_CONFIG', message }, JSON.stringify(given))
  }
  const fresh = () => createServerStep('adam')
  const x = new Float32Array(3)
  t.throws(() => fresh().step([1, 2] as never, x), { code: 'E_ARGUMENT', message: /the vector/ })
  t.throws(() => fresh().step(x, [1, 2, 3] as never), { code: 'E_ARGUMENT', message: /the mean/ })
  t.throws(() => fresh().step(x, new Float64Array(3)), { code: 'E_ARGUMENT', message: /Float64Array/ })
  t.throws(() => fresh().step(x, new Float32Array(2)), { code: 'E_SHAPE', message: /the mean/ })
  t.throws(() => fresh().step(x, x), { code: 'E_ARGUMENT', message: /memory/ })
  const used = fresh()
  used.step(x, new Float32Array(3))
  t.throws(() => used.step(new Float32Array(4), new Float32Array(4)), { code: 'E_SHAPE', message: /got 4|4 values/ })
  t.throws(() => used.step(new Float64Array(3), new Float64Array(3)), { code: 'E_ARGUMENT' })
  const none = createServerStep('none')
  none.step(x, new Float32Array(3))
  t.throws(() => none.step(new Float32Array(4), new Float32Array(4)), { code: 'E_SHAPE' })
  const state = { moment1: new Float32Array(3), moment2: new Float32Array(3) }
  const states: [object, string][] = [
    [{}, 'E_ARGUMENT'],
    [{ moment1: state.moment1 }, 'E_ARGUMENT'],
    [{ ...state, moment2: new Float32Array(2) }, 'E_SHAPE'],
    [{ ...state, moment2: new Float64Array(3) }, 'E_ARGUMENT'],
    [{ ...state, steps: -1 }, 'E_ARGUMENT'],
    [{ ...state, steps: 0.5 }, 'E_ARGUMENT'],
  ]
  for (const [given, code] of states) t.throws(() => createServerStep('adam', {}, given), { code })
  const restored = createServerStep('adam', {}, state)
  t.throws(() => restored.step(new Float32Array(4), new Float32Array(4)), { code: 'E_SHAPE' })
  restored.step(x, new Float32Array(3))
})
