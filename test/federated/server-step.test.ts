import t from 'tap'
import { createServerOptimizer, serverOptimizerSchema } from '../../src/federated/server-step/step.js'

const f = Math.fround

t.test('none: the mean is added', async (t) => {
  const x = Float32Array.of(1, 2, -3)
  createServerOptimizer(serverOptimizerSchema.parse({}), 3).step(x, Float32Array.of(0.5, -1, 0.25))
  t.same([...x], [1.5, 1, -2.75])
})

t.test('momentum and adam follow their equations', async (t) => {
  for (const name of ['momentum', 'adam'] as const) {
    const options = serverOptimizerSchema.parse({ name, learningRate: 0.1 })
    const optimizer = createServerOptimizer(options, 1)
    const x = Float32Array.of(1)
    let m = 0
    let v = 0
    let expected = 1
    for (const delta of [0.3, -0.2, 0.7, 0.01].map(f)) {
      if (name === 'momentum') {
        m = f(0.9 * m + delta)
        expected = f(expected + 0.1 * m)
      } else {
        m = f(0.9 * m + (1 - 0.9) * delta)
        v = f(0.99 * v + (1 - 0.99) * delta * delta)
        expected = f(expected + (0.1 * m) / (Math.sqrt(v) + 1e-3))
      }
      optimizer.step(x, Float32Array.of(delta))
      t.equal(x[0], expected, name)
    }
  }
})

t.test('restored state continues bit for bit; a lost moment does not', async (t) => {
  const options = serverOptimizerSchema.parse({ name: 'adam', learningRate: 0.05 })
  const means = Array.from({ length: 6 }, (_, r) => Float32Array.from({ length: 9 }, (_, i) => Math.sin(r * 9 + i)))
  const straight = new Float32Array(9)
  const whole = createServerOptimizer(options, 9)
  for (const mean of means) whole.step(straight, mean)
  const resumed = new Float32Array(9)
  const first = createServerOptimizer(options, 9)
  for (const mean of means.slice(0, 3)) first.step(resumed, mean)
  const broken = resumed.slice()
  const second = createServerOptimizer(options, 9, structuredClone(first.state))
  for (const mean of means.slice(3)) second.step(resumed, mean)
  t.same(resumed, straight)
  const forgetful = createServerOptimizer(options, 9)
  for (const mean of means.slice(3)) forgetful.step(broken, mean)
  t.notSame(broken, straight, 'canary: without its moments the run differs')
})

t.test('wrong lengths and options are refused', async (t) => {
  const optimizer = createServerOptimizer(serverOptimizerSchema.parse({}), 3)
  t.throws(() => optimizer.step(new Float32Array(3), new Float32Array(2)), { code: 'E_SHAPE' })
  t.throws(
    () =>
      createServerOptimizer(serverOptimizerSchema.parse({ name: 'adam' }), 3, {
        moment1: new Float32Array(3),
        moment2: new Float32Array(0),
      }),
    { code: 'E_SHAPE' },
  )
  t.throws(() => serverOptimizerSchema.parse({ name: 'adma' }))
  t.throws(() => serverOptimizerSchema.parse({ rate: 1 }))
})
