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
