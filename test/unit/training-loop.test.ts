/** The loop of training: steps in the order of the seed at the rates of the schedule, sums, cancelling, going on. Without folders or engine. */
import t from 'tap'
import { type Dataset, loadDataset } from '../../src/data/index.js'
import { FedloraError } from '../../src/errors.js'
import type { NativeAdapter, NativeModel, SessionOptions, StepResult, TokenBatch } from '../../src/native/binding.js'
import { Loop, type Recipe } from '../../src/training/loop.js'

const recipe: Recipe = {
  batchSize: 2,
  gradientAccumulation: 2,
  learningRate: 0.5,
  schedule: (step, steps) => (step + 1) / steps,
  weightDecay: 0.25,
  betas: [0.5, 0.75],
  epsilon: 1e-3,
  momentum: 0.125,
  maxGradNorm: 3,
  optimizer: 'adamw',
  packing: false,
  shuffle: false,
  seed: 7,
}

/** Row i is [1, 10 + i, …]; every third supervises nothing. */
async function makeRows(count: number): Promise<Dataset> {
  const rows = Array.from({ length: count }, (_, i) => {
    const labels = i % 3 === 2 ? [-100, -100, -100] : [-100, 10 + i, 4]
    return { input_ids: [1, 10 + i, 4], labels }
  })
  return await loadDataset(rows, { format: 'tokens' })
}

interface Call {
  rows: number[][]
  rate: number
}

/** An adapter whose session gives loss = number of its call and notes what it was asked for. */
function makeSession(answer: (call: number) => Partial<StepResult> = () => ({})) {
  const calls: Call[] = []
  const asked: SessionOptions[] = []
  const restored: unknown[] = []
  const told: unknown[] = []
  const weights: unknown[] = []
  let disposed = 0
  const session = {
    async step(batches: TokenBatch[], rate: number): Promise<StepResult> {
      const rows = batches.map(({ ids }) => [...ids].filter((id) => id >= 10).map((id) => id - 10))
      calls.push({ rows, rate })
      weights.push(...batches.map(({ weights }) => weights))
      const tokens = batches.reduce((sum, { ids }) => sum + ids.length, 0)
      const supervised = batches.reduce((sum, { labels }) => sum + [...labels].filter((label) => label > 0).length, 0)
      const sums = { tokens, supervised, examples: 0, clipped: 0 }
      return { loss: calls.length, gradNorm: 9, ...sums, cancelled: false, ...answer(calls.length) }
    },
    cancel() {},
    state: () => ({ step: 3, moment1: Float32Array.of(1), moment2: Float32Array.of(2) }),
    restore: (state: unknown) => restored.push(state),
    setTerms: (terms: unknown) => told.push(terms),
    core: () => Float32Array.of(9),
    dispose: () => disposed++,
  }
  const values = {
    createSession(options: SessionOptions) {
      asked.push(options)
      return session
    },
    read: () => Float32Array.of(5, 6),
  } as unknown as NativeAdapter
  return { values, calls, asked, restored, told, weights, disposed: () => disposed }
}

const model = {} as NativeModel
const { signal } = new AbortController()

t.test('rows in order, rates by the schedule, sums over all steps', async (t) => {
  const { values, calls, asked, disposed } = makeSession()
  const loop = new Loop({ model, values, data: await makeRows(7), recipe: { ...recipe, epochs: 2 }, recompute: 'all' })
  t.same(asked, [
    {
      optimizer: { kind: 'adamw', beta1: 0.5, beta2: 0.75, epsilon: 1e-3, weightDecay: 0.25, momentum: 0.125 },
      maxGradNorm: 3,
      dropoutSeed: 7,
      recompute: 'all',
    },
  ])
  t.equal(loop.totalSteps, 4, '14 rows in 7 batches, two a step')
  t.ok(Number.isNaN(loop.meanLoss))
  const steps = []
  while (!loop.done) steps.push(await loop.step(signal))
  t.same(calls, [
    {
      rows: [
        [0, 1],
        [2, 3],
      ],
      rate: 0.125,
    },
    {
      rows: [
        [4, 5],
        [6, 0],
      ],
      rate: 0.25,
    },
    {
      rows: [
        [1, 2],
        [3, 4],
      ],
      rate: 0.375,
    },
    { rows: [[5, 6]], rate: 0.5 },
  ])
  t.same(
    steps.map((step) => [step!.learningRate, step!.unsupervised]),
    [
      [0.125, [2]],
      [0.25, [5]],
      [0.375, [2]],
      [0.5, [5]],
    ],
  )
  const supervised = [6, 6, 6, 2]
  t.same(loop.progress, {
    step: 4,
    cursor: { epoch: 2, position: 0 },
    updates: 4,
    loss: 4,
    lossSum: 1 * 6 + 2 * 6 + 3 * 6 + 4 * 2,
    supervisedTokens: 20,
    tokens: 42,
    unsupervisedRows: 4,
  })
  t.equal(loop.meanLoss, (supervised[0]! + 2 * supervised[1]! + 3 * supervised[2]! + 4 * supervised[3]!) / 20)
  t.equal(loop.epoch, 2)
  t.equal(loop.tokens, 42)
  t.ok(loop.seconds > 0)
  t.equal(disposed(), 0)
  loop.dispose()
  t.equal(disposed(), 1)
})

t.test('a step without a supervised token is no update', async (t) => {
  const { values } = makeSession()
  const rows = (await makeRows(3)).subset([2])
  const loop = new Loop({ model, values, data: rows, recipe: { ...recipe, maxSteps: 2 } })
  await loop.step(signal)
  t.match(loop.progress, { step: 1, updates: 0, loss: null, lossSum: 0, supervisedTokens: 0, unsupervisedRows: 4 })
  t.equal(loop.progress.tokens, 12)
  t.ok(Number.isNaN(loop.meanLoss))
  t.notOk(loop.done)
})

t.test('a cancelled step has changed nothing, and is taken again', async (t) => {
  const { values, calls } = makeSession((call) => ({ cancelled: call === 2 }))
  const loop = new Loop({ model, values, data: await makeRows(8), recipe: { ...recipe, maxSteps: 3 } })
  await loop.step(signal)
  const before = structuredClone(loop.progress)
  t.equal(await loop.step(signal), null)
  t.same(loop.progress, before)
  t.equal(loop.tokens, 12)
  t.ok(await loop.step(signal))
  t.same(calls[2], calls[1], 'the same rows at the same rate')
})

t.test('goes on where another stood', async (t) => {
  const data = await makeRows(5)
  const first = makeSession()
  const whole = new Loop({ model, values: first.values, data, recipe: { ...recipe, maxSteps: 4 } })
  await whole.step(signal)
  await whole.step(signal)
  const half = structuredClone(whole.progress)
  t.same(whole.moments(), { moment1: Float32Array.of(1), moment2: Float32Array.of(2) })
  const second = makeSession((call) => ({ loss: call + 2 }))
  const resumed = new Loop({ model, values: second.values, data, recipe: { ...recipe, maxSteps: 4 } })
  resumed.restore(half, { moment1: Float32Array.of(5) })
  t.same(second.restored, [{ step: 2, moment1: Float32Array.of(5), moment2: new Float32Array(0) }])
  const plain = makeSession()
  new Loop({ model, values: plain.values, data, recipe: { ...recipe, maxSteps: 4 } }).restore(half, {})
  t.same(plain.restored, [{ step: 2, moment1: new Float32Array(0), moment2: new Float32Array(0) }])
  for (const loop of [whole, resumed]) while (!loop.done) await loop.step(signal)
  t.same(second.calls, first.calls.slice(2))
  t.same(resumed.progress, whole.progress)
})

t.test('a step that diverges names itself and its rows; other failures are told as they are', async (t) => {
  const diverging = makeSession((call) => {
    if (call === 2) throw new FedloraError('E_NONFINITE', 'the loss is NaN')
    return {}
  })
  const loop = new Loop({
    model,
    values: diverging.values,
    data: await makeRows(8),
    recipe: { ...recipe, maxSteps: 3 },
  })
  await loop.step(signal)
  await t.rejects(loop.step(signal), {
    code: 'E_NONFINITE',
    message: /^train: step 2 over the rows .*: the loss is NaN; the adapter of step 1 is kept$/,
    details: {
      step: 2,
      rows: [
        [4, 5],
        [6, 7],
      ],
    },
  })
  t.equal(loop.progress.step, 1)
  const other = makeSession(() => {
    throw new FedloraError('E_MEMORY', 'no room')
  })
  const failing = new Loop({ model, values: other.values, data: await makeRows(8), recipe: { ...recipe, maxSteps: 3 } })
  await t.rejects(failing.step(signal), { code: 'E_MEMORY', message: 'no room' })
})

t.test('a schedule is asked before the first step', async (t) => {
  const { values } = makeSession()
  const data = await makeRows(4)
  const wrong = { ...recipe, maxSteps: 1, schedule: () => Number.NaN }
  t.throws(() => new Loop({ model, values, data, recipe: wrong }), { code: 'E_CONFIG' })
})

t.test(
  'what is trained and what is added to the gradient reach the session; the vector is read from the adapter',
  async (t) => {
    const data = await makeRows(2)
    const plain = makeSession()
    new Loop({ model, values: plain.values, data, recipe })
    t.notOk('trainable' in plain.asked[0]!)
    t.same(plain.told, [])
    const { values, asked, told } = makeSession()
    const [first, second] = [{ mu: 1, anchor: Float32Array.of(1, 2) }, { correction: Float32Array.of(3, 4) }]
    const loop = new Loop({ model, values, data, recipe, trainable: [[2, 5]], terms: first })
    t.same(asked[0]!.trainable, [[2, 5]])
    loop.setTerms(second)
    loop.setTerms(null)
    t.equal(told.length, 3)
    t.ok(told[0] === first && told[1] === second && told[2] === null)
    t.same(loop.vector(), Float32Array.of(5, 6))
    t.end()
  },
)

t.test('a core reaches the session; every row drawn carries its weight', async (t) => {
  const { values, asked, weights } = makeSession()
  const core = { R: Float32Array.of(1) }
  const weightOf = (index: number) => index / 2
  const loop = new Loop({ model, values, data: await makeRows(5), recipe: { ...recipe, epochs: 1 }, core, weightOf })
  t.equal(asked[0]!.core, core)
  t.same(loop.core(), Float32Array.of(9))
  while (!loop.done) await loop.step(signal)
  t.same(weights, [Float64Array.of(0, 0.5), Float64Array.of(1, 1.5), Float64Array.of(2)])
  const plain = makeSession()
  const without = new Loop({ model, values: plain.values, data: await makeRows(2), recipe })
  await without.step(signal)
  t.same(plain.weights, [undefined])
  t.end()
})
