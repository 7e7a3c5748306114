/** The server's step: rules against a published implementation, restored state, refusals. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { createServerOptimizer, serverOptimizerSchema } from '../../src/federated/server-step/step.js'

const f = Math.fround

t.test('none: the mean is added', async (t) => {
  const x = Float32Array.of(1, 2, -3)
  createServerOptimizer(serverOptimizerSchema.parse({}), 3).step(x, Float32Array.of(0.5, -1, 0.25))
  t.same([...x], [1.5, 1, -2.75])
})

interface Golden {
  start: number[]
  updates: number[][]
  rules: { options: { name: string; beta1: number }; x: number[][] }[]
}
const golden = JSON.parse(readFileSync(new URL('../golden/server_steps.json', import.meta.url), 'utf8')) as Golden

/** Largest distance from the golden adapter over all rounds, in units of max(1, |x|). */
function farthest({ options, x: expected }: Golden['rules'][number]): number {
  const optimizer = createServerOptimizer(serverOptimizerSchema.parse(options), golden.start.length)
  const x = Float32Array.from(golden.start)
  let worst = 0
  for (const [round, update] of golden.updates.entries()) {
    optimizer.step(x, Float32Array.from(update))
    for (const [i, value] of expected[round]!.entries()) {
      const error = Math.abs(x[i]! - value) / Math.max(1, Math.abs(value))
      if (!(error <= worst)) worst = error
    }
  }
  return worst
}

t.test('momentum and adam are those of Flower’s strategies', async (t) => {
  // Each round rounds m, v and x once to float32 (2^-24 each), and no step is larger than max(1, |x|): 3 · 2^-24 a round, six rounds.
  const bound = 6 * 3 * 2 ** -24
  for (const rule of golden.rules) {
    const error = farthest(rule)
    t.ok(error <= bound, `${rule.options.name}: ${error}`)
    const other = { ...rule, options: { ...rule.options, beta1: rule.options.beta1 + 1e-4 } }
    t.notOk(farthest(other) <= bound, `canary: ${rule.options.name} with a slightly different moment`)
  }
})

t.test('what is not said is the published default, or the documented one', async (t) => {
  const step = (options: object) => {
    const optimizer = createServerOptimizer(serverOptimizerSchema.parse(options), 1)
    const x = Float32Array.of(0)
    for (const update of [0.5, 0.25]) optimizer.step(x, Float32Array.of(update))
    return x[0]
  }
  t.equal(step({ name: 'momentum' }), f(0.5 + (0.9 * 0.5 + 0.25)), 'η 1, β 0.9')
  t.equal(
    step({ name: 'adam' }),
    step({ name: 'adam', learningRate: 0.01, beta1: 0.9, beta2: 0.99, epsilon: 1e-3 }),
    'η 0.01, β 0.9 and 0.99, ε 1e-3',
  )
  t.equal(step({ name: 'none' }), 0.75)
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
  t.throws(() => optimizer.step(new Float32Array(3), new Float32Array(2)), { code: 'E_SHAPE', message: /mean update/ })
  t.throws(() => optimizer.step(new Float32Array(2), new Float32Array(3)), { code: 'E_SHAPE', message: /adapter/ })
  t.throws(
    () =>
      createServerOptimizer(serverOptimizerSchema.parse({ name: 'adam' }), 3, {
        moment1: new Float32Array(3),
        moment2: new Float32Array(0),
      }),
    { code: 'E_SHAPE' },
  )
  t.throws(() => createServerOptimizer(serverOptimizerSchema.parse({ name: 'momentum' }), 3, { steps: 1 }), {
    code: 'E_SHAPE',
    message: /moment1/,
  })
  t.equal(
    createServerOptimizer(serverOptimizerSchema.parse({}), 3, { steps: 2 }).state.steps,
    2,
    'none has none to lose',
  )
  t.throws(() => serverOptimizerSchema.parse({ name: 'adma' }))
  t.throws(() => serverOptimizerSchema.parse({ rate: 1 }))
})
