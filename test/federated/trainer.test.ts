/** The trainings of a client: every part of a plan does what it says, on a model. */
import t from 'tap'
import { loadDataset } from '../../src/data/load-dataset.js'
import { evaluate } from '../../src/evaluation/evaluate.js'
import { combination } from '../../src/federated/algorithms/vectors.js'
import { Trainer, type Workplace } from '../../src/federated/client/trainer.js'
import { localSchema } from '../../src/federated/options.js'
import { gather, partOf, rangesOf, spaceOf, whole } from '../../src/federated/protocol/space.js'
import { adapterLayers } from '../../src/model/adapter-options.js'
import { loadModel } from '../../src/model/load.js'
import { alone } from '../../src/training/stepper.js'
import { goldenFolder, relativeError } from '../support/golden-model.js'
import { bytesOf, tokenRows } from '../support/train.js'

const model = await loadModel(goldenFolder('llama'), { threads: 1 })
const adapter = model.createAdapter({ rank: 4, alpha: 8, seed: 2 })
t.teardown(() => {
  adapter.dispose()
  model.dispose()
})
const data = await tokenRows(6, 263)
const space = spaceOf(adapter.layout, adapterLayers(adapter.config, adapter.targets))
/** Away from the start, where lora_B is zero and most gradients with it. */
const x = adapter.vector().map((value, i) => value + 0.02 * Math.sin(i))
const rate = 0.125

function trainer(local: object = {}, more: Partial<Workplace> = {}): Trainer {
  const sgd = { steps: 1, batchSize: 6, learningRate: rate, optimizer: 'sgd', maxGradNorm: 0, ...local }
  const place: Workplace = {
    data,
    adapter,
    stepper: alone,
    local: localSchema.parse(sgd),
    signal: new AbortController().signal,
    ...more,
  }
  return new Trainer(place, { round: 1, client: 'oak', seed: 3, learningRate: rate } as ConstructorParameters<
    typeof Trainer
  >[1])
}

/** Of one SGD step from `from` to `values`. */
const slope = (from: Float32Array, values: Float32Array) => combination([1 / rate, -1 / rate], [from, values])
const minus = (a: Float32Array, b: Float32Array) => combination([1, -1], [a, b])
const equal = (a: Float32Array, b: Float32Array) => bytesOf(a).equals(bytesOf(b))
// A step rounds w − η·g to float32: 2⁻²⁴·|w| / η of g, over gradients of about 0.01.
const tolerance = 1e-4
const g = await trainer().gradient(x)

t.test('gradient: of the mean loss over all rows', async (t) => {
  const { values, steps, updates } = await trainer().train({ from: x })
  t.same([steps, updates], [1, 1])
  t.ok(relativeError(slope(x, values), g) < tolerance, 'a step over all rows at once goes along it')
  const direction = g.map((value, i) => value + 0.01 * Math.cos(i))
  const lossAt = async (step: number) => {
    adapter.setVector(combination([1, step], [x, direction]))
    return (await evaluate(adapter, data)).loss
  }
  const epsilon = 1e-2
  const difference = ((await lossAt(epsilon)) - (await lossAt(-epsilon))) / (2 * epsilon)
  const product = g.reduce((sum, value, i) => sum + value * direction[i]!, 0)
  t.ok(Math.abs(difference / product - 1) < 1e-2, `along a direction: ${difference}, by the gradient ${product}`)
  const small = await trainer({ batchSize: 2, optimizer: 'adamw', weightDecay: 0.1, maxGradNorm: 1 }).gradient(x)
  t.ok(relativeError(small, g) < tolerance, 'whatever the client’s recipe')
  const silent = await loadDataset([{ input_ids: [5, 6, 7], labels: [-100, -100, -100] }], { format: 'tokens' })
  t.ok(
    (await trainer({}, { data: silent }).gradient(x)).every((value) => value === 0),
    'no supervised token: zero',
  )
})

t.test('no supervised token: nothing is learnt, and there is no loss', async (t) => {
  const silent = await loadDataset([{ input_ids: [5, 6, 7], labels: [-100, -100, -100] }], { format: 'tokens' })
  const { loss, steps, updates, values } = await trainer({ steps: 2 }, { data: silent }).train({ from: x })
  t.same({ loss, steps, updates }, { loss: null, steps: 2, updates: 0 })
  t.ok(equal(values, x))
})

t.test('steps of a training whose plan names none', async (t) => {
  t.equal(trainer({ steps: 7 }).steps, 7)
  t.equal(trainer({ steps: undefined, epochs: 2, batchSize: 2 }).steps, 6)
  t.equal(trainer({ steps: undefined, epochs: 1.5, batchSize: 2, gradientAccumulation: 2 }).steps, 3)
  const { steps } = await trainer({ steps: undefined, epochs: 1.5, batchSize: 2, gradientAccumulation: 2 }).train({
    from: x,
  })
  t.equal(steps, 3, 'and so many are taken')
})

t.test('proximal and correction: terms of the gradient', async (t) => {
  const anchor = x.map((value, i) => value + 0.1 * Math.cos(i))
  const { values } = await trainer().train({ from: x, proximal: { mu: 0.5, anchor } })
  t.ok(relativeError(slope(x, values), combination([1, 0.5, -0.5], [g, x, anchor])) < tolerance)
  const correction = x.map((_, i) => 0.1 * Math.sin(3 * i))
  const corrected = await trainer().train({ from: x, correction })
  t.ok(relativeError(slope(x, corrected.values), combination([1, 1], [g, correction])) < tolerance)
  const both = await trainer().train({ from: x, correction, proximal: { mu: 0.5, anchor } })
  const expected = combination([1, 1, 0.5, -0.5], [g, correction, x, anchor])
  t.ok(relativeError(slope(x, both.values), expected) < tolerance)
  t.notOk(relativeError(slope(x, both.values), combination([1, -1], [expected, correction])) < tolerance, 'canary')
  const none = await trainer().train({ from: x, proximal: { mu: 0, anchor } })
  t.ok(equal(none.values, (await trainer().train({ from: x })).values), 'μ 0 changes no bit')
})

t.test('trainable: the rest keeps its bits, with either optimiser', async (t) => {
  for (const local of [{}, { optimizer: 'adamw', weightDecay: 0.1 }]) {
    const ranges = partOf(space, 'lora_B')
    const { values } = await trainer({ steps: 2, ...local }).train({ from: x, trainable: ranges })
    const rest = partOf(space, 'lora_A')
    t.ok(equal(gather(values, rest), gather(x, rest)))
    t.notOk(equal(gather(values, ranges), gather(x, ranges)))
  }
  const one = rangesOf(space, ({ name }) => name === space.tensors[3]!.name)
  const { values } = await trainer().train({ from: x, trainable: one })
  t.ok(relativeError(gather(slope(x, values), one), gather(g, one)) < tolerance, 'one factor, along its own gradient')
  const all = await trainer().train({ from: x, trainable: whole(space) })
  t.ok(equal(all.values, (await trainer().train({ from: x })).values), 'everything is what nothing said means')
})

t.test('afterStep: told of every step and its values, says what pulls from then on', async (t) => {
  const anchor = x.map((value) => value + 0.3)
  const seen: [number, Float32Array][] = []
  const { values } = await trainer({ steps: 3 }).train({
    from: x,
    afterStep(step, values) {
      seen.push([step, values()])
      return step === 1 ? { mu: 0.5, anchor } : step === 2 ? { mu: 0, anchor } : undefined
    },
  })
  t.same(
    seen.map(([step]) => step),
    [1, 2, 3],
  )
  t.ok(equal(seen[2]![1], values))
  const [first, second] = seen.map(([, at]) => at) as [Float32Array, Float32Array]
  t.ok(equal(first, (await trainer().train({ from: x })).values), 'nothing pulls at the first')
  const at = async (from: Float32Array) => await trainer().gradient(from)
  t.ok(relativeError(slope(first, second), combination([1, 0.5, -0.5], [await at(first), first, anchor])) < tolerance)
  t.ok(relativeError(slope(second, values), await at(second)) < tolerance, 'and nothing at the third')
})

t.test('residual: frozen factors of this training only', async (t) => {
  const ranks = adapter.targets.map(() => 2)
  const length = adapter.residualLayout(ranks).reduce((sum, entry) => sum + entry.length, 0)
  const residual = { ranks, values: Float32Array.from({ length }, (_, i) => 0.1 * Math.sin(i)) }
  const plain = await trainer().train({ from: x })
  const frozen = await trainer().train({ from: x, residual })
  t.notOk(frozen.loss === plain.loss, 'they are part of the model')
  t.ok(equal((await trainer().train({ from: x })).values, plain.values), 'and gone in the next training')
})

t.test('weightOf: how often a row counts', async (t) => {
  const few = [0, 2, 3]
  const { values } = await trainer().train({ from: x, weightOf: (row) => (few.includes(row) ? 2 : 0) })
  const subset = await trainer({ batchSize: 3 }, { data: data.subset(few) }).gradient(x)
  t.ok(
    relativeError(slope(x, values), subset) < tolerance,
    'rows of weight 0 are not learnt from; the others are equals',
  )
  t.notOk(relativeError(slope(x, values), g) < tolerance, 'canary: all rows')
  const nothing = await trainer().train({ from: x, weightOf: () => 0 })
  t.same([nothing.loss, nothing.updates], [null, 0])
})

t.test(
  'zeroth: a slope a step, none of a row without a supervised token; loss over tokens, figures by hand',
  async (t) => {
    const rows = [
      [1, 9, 4],
      [1, 7, 8],
      [1, 3, 5, 2],
    ].map((input_ids, row) => ({ input_ids, labels: input_ids.map((id, i) => (row === 1 || i === 0 ? -100 : id)) }))
    const mixed = await loadDataset(rows, { format: 'tokens' })
    const plan = { from: x, epsilon: 1e-3, directionOf: (step: number) => step }
    const local = { steps: 3, batchSize: 1, shuffle: false }
    const all = await trainer(local, { data: mixed }).zeroth(plan)
    // Each row is looked at from two sides.
    t.same([all.steps, all.updates, all.tokens, all.projected.length], [3, 2, 2 * 10, 3])
    t.equal(all.projected[1], 0)
    t.not(all.projected[0], 0)
    t.not(all.projected[2], 0)
    const first = await trainer({ ...local, steps: 1 }, { data: mixed.subset([0]) }).zeroth(plan)
    t.equal(first.projected[0], all.projected[0])
    const last = await trainer({ ...local, steps: 1 }, { data: mixed.subset([2]) }).zeroth({
      ...plan,
      from: first.values,
      directionOf: () => 3,
    })
    t.ok(equal(last.values, all.values), 'the step between them moved nothing')
    t.equal(all.loss, (2 * first.loss! + 3 * last.loss!) / 5)
  },
)

t.test('core: trained between frozen factors', async (t) => {
  const identity = Float32Array.from({ length: 16 * space.modules.length }, (_, i) => ((i % 16) % 5 === 0 ? 1 : 0))
  const trained = await trainer({ steps: 2 }).train({ from: x, core: identity })
  const core = trained.core!
  t.equal(core.length, identity.length)
  t.notOk(equal(core, identity))
  const B = partOf(space, 'lora_B')
  t.ok(equal(gather(trained.values, B), gather(x, B)), 'B keeps its bits')
  for (const [index, { A }] of space.modules.entries()) {
    const product = new Float32Array(A.length)
    const [rank, inputs] = A.shape
    for (let i = 0; i < A.length; i++) {
      let sum = 0
      for (let r = 0; r < rank; r++) {
        sum += core[index * 16 + Math.floor(i / inputs) * rank + r]! * x[A.offset + r * inputs + (i % inputs)]!
      }
      product[i] = sum
    }
    t.ok(relativeError(gather(trained.values, [[A.offset, A.offset + A.length]]), product) < 1e-6, `${A.name}: R·A`)
  }
  const plain = await trainer({ steps: 1 }).train({ from: x })
  t.equal(
    (await trainer({ steps: 1 }).train({ from: x, core: identity })).loss,
    plain.loss,
    'the first loss is that of R = 1',
  )
  t.equal(plain.core, undefined)
})

t.test('rowLosses: of each row, summed over its tokens', async (t) => {
  const losses = await trainer().rowLosses(x)
  t.equal(losses.length, data.length)
  adapter.setVector(x)
  for (let row = 0; row < data.length; row++) {
    const alone = await evaluate(adapter, data.subset([row]))
    t.ok(Math.abs(losses[row]! / (alone.loss * alone.tokens) - 1) < 1e-6, `row ${row}`)
  }
})

t.test('label, steps, learningRate', async (t) => {
  const batch = { steps: 2, batchSize: 2 }
  const work = await trainer(batch).train({ from: x })
  t.ok(equal((await trainer(batch).train({ from: x, label: 'work' })).values, work.values))
  t.notOk(equal((await trainer(batch).train({ from: x, label: 'head' })).values, work.values), 'other rows')
  t.equal((await trainer(batch).train({ from: x, steps: 4 })).steps, 4)
  const half = await trainer().train({ from: x, learningRate: rate / 2 })
  t.ok(
    relativeError(combination([2], [minus(x, half.values)]), minus(x, (await trainer().train({ from: x })).values)) <
      tolerance,
  )
})
