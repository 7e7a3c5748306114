/** A session through the seam: what it trains and what is added to its gradient, and what of both is refused. */
import t from 'tap'
import { rangesOf } from '../../src/model/layout.js'
import { loadModel } from '../../src/model/load.js'
import type { Model } from '../../src/model/model.js'
import type { NativeAdapter, NativeModel, SessionOptions, TokenBatch } from '../../src/native/binding.js'
import { goldenFolder } from '../support/golden-model.js'
import { bytesOf } from '../support/train.js'

const descent: SessionOptions = {
  optimizer: { kind: 'sgd', beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, momentum: 0.5 },
  maxGradNorm: 0,
  dropoutSeed: 0,
  recompute: 'none',
}
const ids = Int32Array.from({ length: 20 }, (_, i) => 3 + ((i * 7) % 250))
const batch: TokenBatch = { ids, labels: ids, lengths: Int32Array.of(12, 8) }

function makeAdapter(model: NativeModel): NativeAdapter {
  const layers = model.linears().map(({ module }) => ({ module, rank: 3, scaling: 2, dropout: 0 }))
  const adapter = model.createAdapter(layers, 4)
  adapter.write(adapter.read().map((value, i) => value + 0.05 * Math.sin(i)))
  return adapter
}

async function open(): Promise<{ model: Model; native: NativeModel }> {
  const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', compute: 'f32', threads: 2 })
  return { model, native: model.handle.use('test') }
}

t.test(
  'only lora_B: its values are those of a whole session’s first step, lora_A stays, moments are of its size',
  async (t) => {
    const { model, native } = await open()
    using _ = model
    const [whole, part] = [makeAdapter(native), makeAdapter(native)]
    const before = part.read()
    const layout = part.layout()
    const trainable = rangesOf(layout, (tensor) => tensor.part === 'lora_B')
    const session = part.createSession({ ...descent, trainable })
    const [a, b] = [await whole.createSession(descent).step([batch], 0.5), await session.step([batch], 0.5)]
    t.equal(a.loss, b.loss)
    t.ok(b.gradNorm < a.gradNorm)
    const [want, got] = [whole.read(), part.read()]
    for (const { name, part, offset, length } of layout) {
      const range = (values: Float32Array) => bytesOf(values.slice(offset, offset + length))
      t.ok(range(got).equals(range(part === 'lora_B' ? want : before)), name)
      t.notOk(range(got).equals(range(part === 'lora_B' ? before : want)), `canary: ${name}`)
    }
    t.equal(
      session.state().moment1.length,
      trainable.reduce((sum, [begin, end]) => sum + end - begin, 0),
    )
  },
)

t.test('terms: added, taken back, and not kept with the state', async (t) => {
  const { model, native } = await open()
  using _ = model
  const [plain, pulled, corrected] = [makeAdapter(native), makeAdapter(native), makeAdapter(native)]
  const anchor = pulled.read().fill(0.125)
  const sessions = [plain, pulled, corrected].map((adapter) => adapter.createSession(descent))
  sessions[1]!.setTerms({ mu: 0.5, anchor })
  anchor.fill(7) // a copy was taken
  const start = plain.read()
  sessions[2]!.setTerms({ correction: start.map((value) => 0.5 * (value - 0.125)) })
  for (const session of sessions) await session.step([batch], 0.25)
  const [without, pull, correction] = [plain.read(), pulled.read(), corrected.read()]
  t.ok(bytesOf(pull).equals(bytesOf(correction)), 'the same numbers by either way')
  const worst = Math.max(...pull.map((value, i) => Math.abs(value - (without[i]! - 0.125 * (start[i]! - 0.125)))))
  t.ok(worst <= 1e-6, `one float32 rounding of values below 4: ${worst}`)
  t.notOk(bytesOf(pull).equals(bytesOf(without)), 'canary')

  const later = makeAdapter(native)
  later.write(pull)
  const resumed = later.createSession(descent)
  resumed.restore(sessions[1]!.state())
  sessions[1]!.setTerms(null)
  await sessions[1]!.step([batch], 0.25)
  await resumed.step([batch], 0.25)
  t.ok(bytesOf(pulled.read()).equals(bytesOf(later.read())))
})

t.test('weights of rows: a row of weight 2 counts as two of it, one of 0 as none', async (t) => {
  const { model, native } = await open()
  using _ = model
  const row = (key: number): number[] => Array.from({ length: 9 }, (_, i) => 3 + ((i * 11 + key) % 250))
  const of = (rows: number[][], weights?: number[]): TokenBatch => {
    const ids = Int32Array.from(rows.flat())
    const lengths = Int32Array.from(rows, ({ length }) => length)
    return { ids, labels: ids, lengths, ...(weights && { weights: Float64Array.from(weights) }) }
  }
  const gradients = async (batch: TokenBatch) => await makeAdapter(native).gradients(batch)
  const [twice, weighted] = [
    await gradients(of([row(1), row(2), row(1)])),
    await gradients(of([row(1), row(2)], [2, 1])),
  ]
  const most = Math.max(...twice.gradients.map(Math.abs))
  const worst = (got: Float32Array) => Math.max(...got.map((value, i) => Math.abs(value - twice.gradients[i]!)))
  t.ok(worst(weighted.gradients) <= 1e-5 * most, 'float32 sums in another grouping')
  t.ok(Math.abs(weighted.loss - twice.loss) <= 1e-6)
  t.notOk(worst((await gradients(of([row(1), row(2)]))).gradients) <= 1e-5 * most, 'canary')
  const [one, none] = [await gradients(of([row(1)])), await gradients(of([row(1), row(2)], [1, 0]))]
  t.ok(bytesOf(one.gradients).equals(bytesOf(none.gradients)))
  t.equal(none.supervised, 8)

  const adapter = makeAdapter(native)
  const before = adapter.read()
  const result = await adapter.createSession(descent).step([of([row(1), row(2)], [0, 0])], 0.5)
  t.match(result, { supervised: 0, tokens: 18, loss: 0 })
  t.ok(bytesOf(before).equals(bytesOf(adapter.read())))
  for (const weights of [[1], [1, -1], [1, Number.NaN]])
    await t.rejects(async () => gradients(of([row(1), row(2)], weights)), { code: 'E_ARGUMENT', message: /weight/ })
  const floats = { ...of([row(1)]), weights: Float32Array.of(1) as never }
  await t.rejects(async () => gradients(floats), { code: 'E_ARGUMENT', message: /weights/ })
})

t.test('the losses of rows are parts of the sum, whoever stands beside them', async (t) => {
  const { model, native } = await open()
  using _ = model
  const adapter = makeAdapter(native)
  const { lossSum, rowLosses } = await native.evaluate(adapter, batch)
  t.equal(rowLosses.length, 2)
  t.ok(Math.abs(rowLosses[0]! + rowLosses[1]! - lossSum) <= 1e-12 * lossSum)
  const ids = batch.ids.slice(12)
  const alone = await native.evaluate(adapter, { ids, labels: ids, lengths: Int32Array.of(8) })
  t.equal(alone.lossSum, rowLosses[1])
  const unsupervised = await native.evaluate(null, { ids, labels: ids.map(() => -100), lengths: Int32Array.of(3, 5) })
  t.same(unsupervised.rowLosses, Float64Array.of(0, 0))
})

t.test('a core: the adapter holds R·A; R is read, replaced and trained', async (t) => {
  const { model, native } = await open()
  using _ = model
  const adapter = makeAdapter(native)
  const before = adapter.read()
  const layers = adapter.layout().filter(({ part }) => part === 'lora_A')
  const identity = Float32Array.from(layers.flatMap(() => [1, 0, 0, 0, 1, 0, 0, 0, 1]))
  const session = adapter.createSession({ ...descent, core: { R: identity } })
  t.ok(bytesOf(before).equals(bytesOf(adapter.read())), 'I·A is A')
  const double = identity.map((value) => 2 * value)
  session.setCore(double)
  const [{ offset, length }] = layers as [(typeof layers)[0]]
  t.same(
    adapter.read().slice(offset, offset + length),
    before.slice(offset, offset + length).map((value) => 2 * value),
  )
  t.same(session.core(), double)
  await session.step([batch], 0.5)
  const moved = session.core()!
  t.notSame(moved, double)
  t.equal(session.state().moment1.length, identity.length)

  const A = Float32Array.from(layers.flatMap(({ offset, length }) => [...before.slice(offset, offset + length)]))
  const again = makeAdapter(native)
  again.createSession({ ...descent, core: { R: moved, A } })
  t.ok(bytesOf(again.read()).equals(bytesOf(adapter.read())), 'from A and R alone')
  t.equal(again.createSession(descent).core(), null)
  const refused = (core: unknown, code: string) =>
    t.throws(() => again.createSession({ ...descent, core: core as never }), { code })
  refused({}, 'E_ARGUMENT')
  refused({ R: identity.slice(1) }, 'E_SHAPE')
  refused({ R: identity, A: A.slice(1) }, 'E_SHAPE')
  refused({ R: identity.slice().fill(Number.NaN) }, 'E_NONFINITE')
  t.throws(() => again.createSession({ ...descent, core: { R: identity }, trainable: [[0, 1]] }), {
    code: 'E_ARGUMENT',
  })
  t.throws(() => again.createSession(descent).setCore(identity), { code: 'E_ARGUMENT' })
  const pending = session.step([batch], 0.5)
  t.throws(() => session.core(), { code: 'E_BUSY' })
  t.throws(() => session.setCore(double), { code: 'E_BUSY' })
  t.throws(() => adapter.createSession({ ...descent, core: { R: identity } }), { code: 'E_BUSY' })
  await pending
})

t.test('what is refused', async (t) => {
  const { model, native } = await open()
  using _ = model
  const adapter = makeAdapter(native)
  const { length } = adapter
  for (const trainable of [[], [[1]], [[0, 1, 2]], [['0', 1]], [[0.5, 1]], [[-1, 2]], [[0, Number.NaN]], [3], 'all'])
    t.throws(
      () => adapter.createSession({ ...descent, trainable: trainable as never }),
      { code: 'E_ARGUMENT', message: /trainable/ },
      JSON.stringify(trainable),
    )
  for (const trainable of [
    [[0, length + 1]],
    [[4, 4]],
    [
      [2, 4],
      [3, 5],
    ],
    [
      [3, 5],
      [0, 1],
    ],
  ] as [number, number][][])
    t.throws(
      () => adapter.createSession({ ...descent, trainable }),
      { code: 'E_ARGUMENT', message: /ascending and disjoint/ },
      JSON.stringify(trainable),
    )
  const session = adapter.createSession(descent)
  const refused = (terms: unknown, code: string) => t.throws(() => session.setTerms(terms as never), { code })
  const right = new Float32Array(length)
  refused(undefined, 'E_ARGUMENT')
  refused(3, 'E_ARGUMENT')
  refused({ mu: 1 }, 'E_ARGUMENT')
  refused({ mu: -1, anchor: right }, 'E_ARGUMENT')
  refused({ anchor: right }, 'E_ARGUMENT')
  refused({ mu: '1', anchor: right }, 'E_ARGUMENT')
  refused({ mu: 1, anchor: new Float64Array(length) }, 'E_ARGUMENT')
  refused({ mu: 1, anchor: new Float32Array(length + 1) }, 'E_SHAPE')
  refused({ correction: new Float32Array(0) }, 'E_SHAPE')
  refused({ correction: right.slice().fill(Number.NaN, 3, 4) }, 'E_NONFINITE')
  session.setTerms({ mu: 0, anchor: right, correction: right })
  const pending = session.step([batch], 0.1)
  refused(null, 'E_BUSY')
  await pending
  session.dispose()
  refused(null, 'E_DISPOSED')
})
