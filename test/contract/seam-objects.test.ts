/** Life and death of objects through the public API: disposed, busy, foreign, aborted; memory that may change under our feet. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createAggregator } from '../../src/aggregation/aggregator.js'
import { decodeUpdate, encodeUpdate } from '../../src/compression/codec.js'
import { evaluate } from '../../src/evaluation/evaluate.js'
import { loadModel } from '../../src/model/load.js'
import { train } from '../../src/training/train.js'
import { goldenFolder } from '../support/golden-model.js'
import { bytesOf, sameBits, temporaryFolder, tokenRows } from '../support/train.js'

const reference = { quantization: 'none', compute: 'f32', threads: 2 } as const
const one = { inputIds: [[1, 2, 3]], labels: [[1, 2, 3]] }

t.test('every call of a disposed object is E_DISPOSED and names the object', async (t) => {
  const model = await loadModel(goldenFolder('llama'), reference)
  const adapter = model.createAdapter({ rank: 2 })
  const gone = model.createAdapter({ rank: 2 })
  const data = await tokenRows(4, 263)
  gone.dispose()
  const disposed = { code: 'E_DISPOSED', message: /the adapter was disposed/ }
  t.ok(gone.disposed && !adapter.disposed)
  for (const call of [
    () => gone.vector(),
    () => gone.setVector(new Float32Array(gone.length)),
    () => gone.tensors(),
    () => gone.load(new Map()),
    () => gone.clone(),
  ]) {
    t.throws(call, disposed, String(call))
  }
  const folder = temporaryFolder('disposed')
  const pending: (() => PromiseLike<unknown>)[] = [
    () => gone.gradients(one),
    () => gone.save(join(folder, 'saved')),
    () => gone.merge(join(folder, 'merged')),
    () => train(gone, data, { maxSteps: 1 }),
    () => evaluate(gone, data),
    () => model.logits(one, { adapter: gone }),
    () => model.generateTokens([1, 2], { adapter: gone }).next(),
  ]
  for (const call of pending) await t.rejects(Promise.resolve(call()), disposed, String(call))
  t.equal(gone.length, adapter.length, 'what is known without the native object stays')

  const started = model.generateTokens([1, 2], { maxTokens: 30, endTokens: [] })
  t.equal((await started.next()).done, false)
  model.dispose()
  const modelGone = { code: 'E_DISPOSED', message: /the model was disposed/ }
  await t.rejects(
    async () => {
      for await (const _ of started);
    },
    modelGone,
    'a generation under way',
  )
  const orphaned: (() => PromiseLike<unknown>)[] = [
    () => model.logits(one),
    () => model.loadAdapter(goldenFolder('llama')),
    () => model.generateTokens([1, 2]).next(),
    () => train(adapter, data, { maxSteps: 1 }),
    () => evaluate(model, data),
    () => evaluate(adapter, data),
    () => adapter.gradients(one),
  ]
  for (const call of orphaned) await t.rejects(Promise.resolve(call()), modelGone, String(call))
  t.throws(() => model.createAdapter(), modelGone)
  t.throws(() => adapter.clone(), modelGone)
  adapter.setVector(adapter.vector())

  const sums = createAggregator(3)
  const { bytes } = encodeUpdate(Float32Array.of(1, 2, 3), { codec: 'f32' })
  sums.dispose()
  sums.dispose()
  for (const call of [
    () => sums.length,
    () => sums.count,
    () => sums.totalWeight,
    () => sums.add(bytes),
    () => sums.mean(),
    () => sums.reset(),
  ]) {
    t.throws(call, { code: 'E_DISPOSED', message: /the aggregator was disposed/ }, String(call))
  }
  rmSync(folder, { recursive: true })
})

t.test('everything that a run excludes is E_BUSY, and works again after it', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  using adapter = model.createAdapter({ rank: 2 })
  const data = await tokenRows(8, 263)
  const folder = temporaryFolder('busy')
  const run = train(adapter, data, { maxSteps: 4000, batchSize: 4 })
  for await (const event of run) if (event.type === 'step') break // it is really under way, then stops
  const again = train(adapter, data, { maxSteps: 4000, batchSize: 4 })
  const busy = { code: 'E_BUSY', message: /in use by train/ }
  await new Promise((resolve) => setImmediate(resolve))
  t.throws(() => adapter.setVector(new Float32Array(adapter.length)), busy)
  t.throws(() => adapter.load(new Map()), busy)
  t.throws(() => adapter.clone(), busy)
  await t.rejects(adapter.save(join(folder, 'saved')), busy)
  await t.rejects(adapter.merge(join(folder, 'merged')), busy)
  await t.rejects(model.logits(one, { adapter }), busy)
  await t.rejects(model.generateTokens([1, 2], { adapter }).next(), busy)
  t.equal((await model.logits(one)).rows.length, 1, 'the model itself is shared')
  await again.stop()
  adapter.setVector(adapter.vector())
  const two = await Promise.all([adapter.gradients(one), adapter.gradients(one)])
  t.equal(two[0].loss, two[1].loss, 'reading calls share it')
  const pending = adapter.gradients(one)
  await t.rejects(train(adapter, data, { maxSteps: 1 }), { code: 'E_BUSY', message: /at work/ })
  await pending
  rmSync(folder, { recursive: true })
})

t.test('disposing in mid-call lets the call end; the object is gone for the next one', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  const adapter = model.createAdapter({ rank: 2 })
  const calls = [adapter.gradients(one), model.logits(one, { adapter }), adapter.gradients(one)]
  adapter.dispose()
  const settled = await Promise.allSettled(calls)
  t.same(
    settled.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'fulfilled'],
  )
  await t.rejects(adapter.gradients(one), { code: 'E_DISPOSED' })
})

t.test('break joins the native job: nothing moves afterwards', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  using adapter = model.createAdapter({ rank: 2 })
  const data = await tokenRows(8, 263)
  const run = train(adapter, data, { maxSteps: 100000, batchSize: 8, gradientAccumulation: 4, learningRate: 1e-2 })
  for await (const event of run) if (event.type === 'step' && event.step === 2) break
  const at = bytesOf(adapter.vector())
  const { steps, stopped } = await run
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.ok(stopped && steps >= 2)
  t.ok(at.equals(bytesOf(adapter.vector())))
  using twin = model.createAdapter({ rank: 2 })
  await train(twin, data, {
    maxSteps: 100000,
    batchSize: 8,
    gradientAccumulation: 4,
    learningRate: 1e-2,
    signal: AbortSignal.timeout(0),
  }).catch(() => {})
  t.notOk(sameBits(twin, adapter), 'canary: other steps, other bits')
})

t.test('an abort signal ends every long call with its own reason', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  using adapter = model.createAdapter({ rank: 2 })
  const data = await tokenRows(300, 263)
  const reason = new Error('we are done')
  const gone = AbortSignal.abort(reason)
  await t.rejects(train(adapter, data, { signal: gone }), reason)
  await t.rejects(evaluate(adapter, data, { signal: gone }), reason)
  await t.rejects(model.generateTokens([1, 2], { signal: gone }).next(), reason)
  const controller = new AbortController()
  const evaluation = evaluate(adapter, data, { batchTokens: 16, signal: controller.signal })
  setImmediate(() => controller.abort(reason))
  await t.rejects(evaluation, reason)
  const { tokens } = await evaluate(adapter, data, { signal: new AbortController().signal })
  t.ok(tokens > 300, 'a signal that stays quiet changes nothing')
})

t.test('an adapter of another model is refused by every call that takes one', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  using other = await loadModel(goldenFolder('llama'), reference)
  using foreign = other.createAdapter({ rank: 2 })
  const refused = { code: 'E_ARGUMENT', message: /another model/ }
  await t.rejects(model.logits(one, { adapter: foreign }), refused)
  await t.rejects(model.generateTokens([1, 2], { adapter: foreign }).next(), refused)
  const native = model.handle.use('test')
  await t.rejects(
    async () => native.logits(foreign.handle.use('test'), Int32Array.of(1), Int32Array.of(1)),
    refused,
    'and by the addon itself',
  )
})

t.test('shared, resizable and detached memory is refused', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  using adapter = model.createAdapter({ rank: 2 })
  const before = bytesOf(adapter.vector())
  const bytes = adapter.length * 4
  const Resizable = ArrayBuffer as unknown as new (length: number, options: object) => ArrayBuffer
  const detached = new Float32Array(adapter.length)
  structuredClone(detached.buffer, { transfer: [detached.buffer as ArrayBuffer] })
  const vectors: [RegExp, Float32Array][] = [
    [/shared memory/, new Float32Array(new SharedArrayBuffer(bytes))],
    [/resizable/, new Float32Array(new Resizable(bytes, { maxByteLength: 2 * bytes }))],
    [/detached|0 values/, detached],
  ]
  for (const [message, vector] of vectors) {
    const refused = { code: /E_ARGUMENT|E_SHAPE/, message }
    t.throws(() => adapter.setVector(vector), refused)
    if (vector.length > 0) {
      t.throws(() => encodeUpdate(vector, { codec: 'f32' }), refused)
      t.throws(
        () => encodeUpdate(new Float32Array(adapter.length), { codec: 'f32', residual: vector }),
        refused,
        'as a residual',
      )
    }
  }
  t.throws(() => encodeUpdate(detached, { codec: 'f32' }), { code: 'E_ARGUMENT', message: /detached/ })
  const good = encodeUpdate(Float32Array.of(1, 2), { codec: 'f32' }).bytes
  const shared = new Uint8Array(new SharedArrayBuffer(good.length))
  shared.set(good)
  using sums = createAggregator(2)
  t.throws(() => decodeUpdate(shared), { code: 'E_ARGUMENT', message: /shared memory/ })
  t.throws(() => sums.add(shared), { code: 'E_ARGUMENT', message: /shared memory/ })
  t.equal(sums.count, 0)
  t.same([...decodeUpdate(good)], [1, 2], 'canary: plain memory is accepted')
  // Part of a larger buffer, at an odd place, is plain memory too.
  const odd = new Uint8Array(good.length + 3)
  odd.set(good, 3)
  t.same([...decodeUpdate(odd.subarray(3))], [1, 2])
  // Token ids are copied by JavaScript first: shared ones do no harm.
  const ids = new Int32Array(new SharedArrayBuffer(12))
  ids.set([1, 2, 3])
  const logits = await model.logits({ inputIds: [ids] })
  t.ok(bytesOf(logits.data).equals(bytesOf((await model.logits(one)).data)))
  t.ok(before.equals(bytesOf(adapter.vector())))
})

t.test('what onProgress throws ends the load', async (t) => {
  const enough = new Error('enough')
  await t.rejects(
    loadModel(goldenFolder('llama'), {
      onProgress: () => {
        throw enough
      },
    }),
    enough,
  )
})
