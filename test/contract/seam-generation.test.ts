/** Generation through the seam and the public API: how it ends and what it counts, aborts, and an adapter that changes meanwhile. */
import t from 'tap'
import { loadModel } from '../../src/model/load.js'
import type { Model } from '../../src/model/model.js'
import type { GenerationOptions, NativeAdapter, NativeModel } from '../../src/native/binding.js'
import { train } from '../../src/training/train.js'
import { bytesOf, tokenRows } from '../support/train.js'

const demoModel = 'assets/gsm-3m'

async function open(): Promise<{ model: Model; native: NativeModel }> {
  const model = await loadModel(demoModel, { quantization: 'nf4', compute: 'bf16', threads: 1 })
  return { model, native: model.handle.use('test') }
}

const request = (fields: Partial<GenerationOptions> = {}): GenerationOptions => ({
  ids: Int32Array.of(5, 6, 7),
  maxTokens: 8,
  temperature: 0,
  topK: 0,
  topP: 1,
  seed: 0,
  endIds: new Int32Array(),
  ...fields,
})

async function tokensOf(generator: AsyncGenerator<number>): Promise<number[]> {
  const ids: number[] = []
  for await (const id of generator) ids.push(id)
  return ids
}

t.test('why it ended, and tokens counted', async (t) => {
  const { model, native } = await open()
  const whole = native.generate(null, request())
  const first = await whole.next(3)
  t.match(first, { done: false, promptTokens: 3, completionTokens: 3 })
  t.notOk('finishReason' in first, 'no reason while it goes on')
  const rest = await whole.next(100)
  t.match(rest, { done: true, finishReason: 'length', promptTokens: 3, completionTokens: 8 })
  const all = [...first.ids, ...rest.ids]
  t.equal(all.length, 8)
  const after = await whole.next(1)
  t.match(after, { done: true, finishReason: 'length', completionTokens: 8 })
  t.equal(after.ids.length, 0)

  const end = all.findIndex((id, i) => i > 0 && !all.slice(0, i).includes(id))
  const stopped = await native.generate(null, request({ endIds: Int32Array.of(all[end]!) })).next(100)
  t.match(stopped, { done: true, finishReason: 'stop', completionTokens: end + 1 })
  t.same([...stopped.ids], all.slice(0, end + 1), 'the end token is the last one')

  const positions = model.config.description.maxPositions
  const full = native.generate(null, request({ ids: new Int32Array(positions - 2).fill(5), maxTokens: 1000 }))
  t.match(await full.next(1000), { finishReason: 'length', completionTokens: 2 }, 'the model’s last position')
  model.dispose()
})

t.test('cancel: before the prompt, in its pass, between tokens', async (t) => {
  const { model, native } = await open()
  const long = request({ ids: new Int32Array(model.config.description.maxPositions - 300).fill(5), maxTokens: 300 })
  const early = native.generate(null, long)
  early.cancel()
  const none = await early.next(4)
  t.match(none, { done: true, finishReason: 'aborted', completionTokens: 0 })
  t.equal(none.ids.length, 0)

  const during = native.generate(null, long)
  const pending = during.next(4)
  during.cancel()
  const cut = await pending
  t.match(cut, { done: true, finishReason: 'aborted', completionTokens: 0 }, 'no token came of the prompt')

  const between = native.generate(null, long)
  const some = await between.next(2)
  t.equal(some.ids.length, 2)
  const endless = between.next(290)
  between.cancel()
  const last = await endless
  t.match(last, { done: true, finishReason: 'aborted' })
  t.equal(last.completionTokens, 2 + last.ids.length)
  t.ok(last.ids.length < 290)

  const gone = native.generate(null, long)
  const dropped = gone.next(290)
  gone.dispose()
  t.match(await dropped, { finishReason: 'aborted' }, 'dispose ends the call in flight')
  t.throws(() => gone.next(1), { code: 'E_DISPOSED' })
  model.dispose()
})

t.test('a signal ends the prompt’s own pass with its reason', async (t) => {
  const { model } = await open()
  const reason = new Error('we are done')
  const prompt = new Int32Array(model.config.description.maxPositions - 8).fill(5)
  const controller = new AbortController()
  const generation = model.generateTokens(prompt, { maxTokens: 8, endTokens: [], signal: controller.signal })
  const first = generation.next()
  setImmediate(() => controller.abort(reason))
  await t.rejects(first, reason)
  t.match(await generation.next(), { done: true, value: undefined })
  const quiet = new AbortController().signal
  t.equal((await tokensOf(model.generateTokens(prompt, { maxTokens: 8, endTokens: [], signal: quiet }))).length, 8)
  model.dispose()
})

t.test('an adapter that changes between two tokens ends the generation: E_BUSY', async (t) => {
  const { model } = await open()
  using adapter = model.createAdapter({ rank: 4 })
  const changed = {
    setVector: async () => adapter.setVector(adapter.vector().map((value) => value + 0.05)),
    'a training run': async () => {
      await train(adapter, await tokenRows(4, 263), { maxSteps: 1 })
    },
  }
  const options = { adapter, maxTokens: 12, endTokens: [] }
  for (const [name, change] of Object.entries(changed)) {
    const generation = model.generateTokens([5, 6, 7], options)
    t.equal((await generation.next()).done, false)
    await change()
    await t.rejects(tokensOf(generation), { code: 'E_BUSY', message: /the adapter has changed/ }, name)
  }
  const undisturbed = model.generateTokens([5, 6, 7], options)
  await undisturbed.next()
  adapter.vector()
  await adapter.gradients({ inputIds: [[1, 2, 3]], labels: [[1, 2, 3]] })
  t.equal((await tokensOf(undisturbed)).length, 11, 'canary: reading it disturbs nothing')
  model.dispose()
})

/** One session and the 60 micro-batches of a step. */
function training(native: NativeModel) {
  const layers = native.linears().map(({ module }) => ({ module, rank: 4, scaling: 2, dropout: 0.1 }))
  const adapter = native.createAdapter(layers, 1)
  const session = adapter.createSession({
    optimizer: { kind: 'adamw', beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, momentum: 0 },
    maxGradNorm: 1,
    dropoutSeed: 1,
    recompute: 'none',
  })
  const batches = Array.from({ length: 60 }, (_, k) => {
    const ids = Int32Array.from({ length: 120 }, (_, i) => 5 + ((i * 7 + k * 31) % 500))
    return { ids, labels: ids, lengths: Int32Array.of(70, 50) }
  })
  return { adapter, session, batches }
}

async function generateAll(native: NativeModel, adapter: NativeAdapter | null = null): Promise<number[]> {
  const generation = native.generate(adapter, request({ maxTokens: 24 }))
  const ids: number[] = []
  for (let done = false; !done; ) {
    const next = await generation.next(4)
    ids.push(...next.ids)
    done = next.done
  }
  return ids
}

t.test('a generation goes between the micro-batches of a step, and changes no bit of it', async (t) => {
  const { model, native } = await open()
  const expected = await generateAll(native)
  const quiet = training(native)
  const result = await quiet.session.step(quiet.batches, 1e-2)

  const { adapter, session, batches } = training(native)
  const events: string[] = []
  const step = session.step(batches, 1e-2).finally(() => events.push('step'))
  const generations = [native.createAdapter([], 1), null, adapter].map((voice) =>
    generateAll(native, voice).finally(() => events.push('generation')),
  )
  const texts = await Promise.all(generations)
  t.same(await step, result, 'loss and norm of the step')
  t.same(events, ['generation', 'generation', 'generation', 'step'])
  for (const text of texts) t.same(text, expected, 'the tokens of an idle engine: B is still zero')
  t.ok(bytesOf(adapter.read()).equals(bytesOf(quiet.adapter.read())), 'the adapter, bit for bit')
  const [state, quietState] = [session.state(), quiet.session.state()]
  t.ok(bytesOf(state.moment1).equals(bytesOf(quietState.moment1)))
  t.ok(bytesOf(state.moment2).equals(bytesOf(quietState.moment2)))
  await session.step(batches.slice(1), 1e-2)
  t.notOk(bytesOf(adapter.read()).equals(bytesOf(quiet.adapter.read())), 'canary: another step, other bits')
  model.dispose()
})

t.test('endless generations hold up no training run, no evaluation', async (t) => {
  const { model, native } = await open()
  const { session, batches } = training(native)
  let over = false
  let generations = 0
  const endless = [0, 1, 2].map(async () => {
    for (; !over; generations++) await generateAll(native)
  })
  for (let step = 0; step < 5; step++) {
    await session.step(batches.slice(0, 8), 1e-3)
    await native.evaluate(null, batches[0]!)
  }
  over = true
  await Promise.all(endless)
  t.ok(generations > 0, 'they did generate meanwhile')
  model.dispose()
})

t.test('a step is cancelled, and its model disposed, while generations go between its micro-batches', async (t) => {
  const { model, native } = await open()
  const { adapter, session, batches } = training(native)
  const before = bytesOf(adapter.read())
  const step = session.step(batches, 1e-2)
  await native.generate(null, request()).next(8) // perhaps before the step has begun,
  await native.generate(null, request()).next(8) // this one within it
  session.cancel()
  t.match(await step, { cancelled: true })
  t.ok(bytesOf(adapter.read()).equals(before), 'nothing was updated')

  const again = session.step(batches, 1e-2)
  const started = native.generate(null, request({ maxTokens: 500 }))
  await started.next(1)
  const calls = [started.next(400), native.generate(null, request()).next(8), again]
  model.dispose()
  const settled = await Promise.allSettled(calls)
  t.equal(settled.length, 3, 'every promise is settled')
  t.throws(() => started.next(1), { code: 'E_DISPOSED' })
})
