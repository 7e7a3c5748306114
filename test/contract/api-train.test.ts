/** Training through the public API: PyTorch's curves, events, stopping, refusals. */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadDataset } from '../../src/data/load-dataset.js'
import { evaluate } from '../../src/evaluation/evaluate.js'
import { adapterLayers } from '../../src/model/adapter-options.js'
import { loadModel } from '../../src/model/load.js'
import type { StepEvent, TrainEvent } from '../../src/training/events.js'
import { largestMicroBatch, recomputeLevels } from '../../src/training/memory.js'
import { parseTrainOptions } from '../../src/training/options.js'
import { train } from '../../src/training/train.js'
import { families, goldenAdapter, goldenFolder, goldenRoot, rowsOf } from '../support/golden-model.js'
import { GoldenFile } from '../support/safetensors.js'
import { bytesOf, eventsOf, sameBits, temporaryFolder, tokenRows } from '../support/train.js'

const reference = { quantization: 'none', compute: 'f32', threads: 2 } as const
const lora = { rank: 8, alpha: 16, targetModules: 'all-linear' } as const

for (const family of families) {
  t.test(`${family}: twenty AdamW steps follow PyTorch's losses`, async (t) => {
    const golden = new GoldenFile(join(goldenRoot, family, 'golden.safetensors'))
    const want = golden.get('curve.loss').values
    const norms = golden.get('curve.grad_norm').values
    const rates = golden.get('curve.lr').values
    const rows = Array.from({ length: want.length }, (_, step) => {
      const { inputIds, labels } = rowsOf(golden, 'curve.', step)
      return inputIds.map((input_ids, i) => ({ input_ids, labels: labels[i]! }))
    }).flat()
    using model = await loadModel(goldenFolder(family), reference)
    using adapter = model.createAdapter(lora)
    adapter.load(goldenAdapter(golden))
    const data = await loadDataset(rows, { format: 'tokens' })
    const run = train(adapter, data, {
      maxSteps: want.length,
      batchSize: 4,
      shuffle: false,
      learningRate: 5e-3,
      schedule: 'cosine',
      warmupSteps: 3,
      weightDecay: 0.01,
      maxGradNorm: 1,
    })
    let worst = 0
    let worstNorm = 0
    for await (const event of run) {
      if (event.type !== 'step') continue
      const error = Math.abs(event.loss - want[event.step - 1]!) / want[event.step - 1]!
      if (!(error <= worst)) worst = error
      const normError = Math.abs(event.gradNorm - norms[event.step - 1]!) / norms[event.step - 1]!
      if (!(normError <= worstNorm)) worstNorm = normError
      t.ok(Math.abs(event.learningRate - rates[event.step - 1]!) <= 1e-9)
    }
    t.ok(worst <= Math.max(10 * golden.bound('f32_error.curve_loss'), 1e-5), `loss: ${worst}`)
    // A norm is as wrong as its vector at most.
    t.ok(worstNorm <= 10 * golden.bound('f32_error.grad_relative'), `gradient norm: ${worstNorm}`)
    t.equal((await run).steps, want.length)
  })
}

t.test('accumulated micro-batches give the loss of the whole step', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  const data = await tokenRows(24, model.config.vocabulary)
  const losses = async (batchSize: number, gradientAccumulation: number) => {
    using adapter = model.createAdapter({ rank: 4, seed: 3 })
    const run = train(adapter, data, { epochs: 2, batchSize, gradientAccumulation, learningRate: 5e-3, seed: 5 })
    const steps: StepEvent[] = []
    for await (const event of run) if (event.type === 'step') steps.push(event)
    return steps
  }
  const whole = await losses(8, 1)
  const split = await losses(2, 4)
  t.equal(whole.length, 6)
  t.equal(split.length, 6)
  const difference = Math.max(...whole.map(({ loss }, i) => Math.abs(loss - split[i]!.loss) / loss))
  // Only the order of float32 sums differs: as far apart as float32 and float64 are along PyTorch's curve.
  const golden = new GoldenFile(join(goldenRoot, 'llama', 'golden.safetensors'))
  t.ok(difference <= 10 * golden.bound('f32_error.curve_loss'), `${difference}`)
  const drawn = whole.reduce((sum, event) => sum + event.tokens, 0)
  let tokens = 0
  for (let i = 0; i < data.length; i++) tokens += data.sample(i).inputIds.length
  t.equal(drawn, 2 * tokens, 'every row twice')
})

t.test('learning lowers the loss', async (t) => {
  using model = await loadModel(goldenFolder('llama'), { ...reference, quantization: 'nf4' })
  using adapter = model.createAdapter({ rank: 8 })
  const data = await tokenRows(8, model.config.vocabulary)
  const before = await evaluate(adapter, data)
  await train(adapter, data, { epochs: 20, batchSize: 8, learningRate: 1e-2 })
  const after = await evaluate(adapter, data)
  t.ok(after.loss < 0.8 * before.loss, `${before.loss} → ${after.loss}`)
  t.equal(after.perplexity, Math.exp(after.loss))
  t.ok(after.tokenAccuracy > before.tokenAccuracy)
  t.same(await evaluate(model, data), before, 'the model below is as it was: a fresh adapter adds nothing')
})

t.test('the same seed gives the same bits; any number of threads; another seed another adapter', async (t) => {
  const vectors: Buffer[] = []
  for (const [threads, seed] of [
    [1, 1],
    [2, 1],
    [3, 1],
    [2, 2],
  ] as const) {
    using model = await loadModel(goldenFolder('qwen2'), { quantization: 'nf4', compute: 'bf16', threads })
    using adapter = model.createAdapter({ rank: 4, dropout: 0.1, seed: 1 })
    await train(adapter, await tokenRows(12, 263), {
      maxSteps: 4,
      batchSize: 4,
      packing: true,
      seed,
      learningRate: 1e-2,
    })
    vectors.push(bytesOf(adapter.vector()))
  }
  t.ok(vectors[0]!.equals(vectors[1]!))
  t.ok(vectors[0]!.equals(vectors[2]!))
  t.notOk(vectors[0]!.equals(vectors[3]!), 'canary')
})

t.test('recomputation changes no bit; a budget chooses it; what cannot fit is refused with the number', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  const data = await tokenRows(12, 263)
  const options = { maxSteps: 3, batchSize: 4, learningRate: 1e-2 }
  using first = model.createAdapter({ rank: 4 })
  t.equal((await train(first, data, options)).recompute, 'none')
  const extent = largestMicroBatch(data, parseTrainOptions(options))
  const layers = adapterLayers(first.config, first.targets)
  for (const recompute of recomputeLevels) {
    const { total } = model.handle.use('plan').plan({ ...extent, recompute, optimizer: 'adamw', layers })
    using adapter = model.createAdapter({ rank: 4 })
    const result = await train(adapter, data, { ...options, memoryBudget: total })
    t.equal(result.recompute, recompute)
    t.ok(sameBits(first, adapter), recompute)
    if (recompute !== 'all') continue
    const run = train(adapter, data, { ...options, memoryBudget: total - 1 })
    await t.rejects(run, {
      code: 'E_MEMORY',
      message: /needs [\d.]+ MiB/,
      details: { needed: total, budget: total - 1 },
    })
  }
})

t.test('a run leaves config, events, adapter and checkpoints', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  using adapter = model.createAdapter({ rank: 4 })
  const outputDir = join(temporaryFolder('run'), 'run')
  const data = await tokenRows(20, 263)
  const held = await tokenRows(5, 263, 4)
  const seen: TrainEvent[] = []
  const run = train(adapter, data, {
    maxSteps: 7,
    batchSize: 4,
    outputDir,
    checkpointEvery: 3,
    evaluate: { data: held, every: 3 },
  })
  for await (const event of run) seen.push(event)
  const result = await run
  t.same(
    seen.map((event) => event.type),
    [
      'step',
      'step',
      'step',
      'evaluation',
      'checkpoint',
      'step',
      'step',
      'step',
      'evaluation',
      'checkpoint',
      'step',
      'evaluation',
      'checkpoint',
      'done',
    ],
  )
  const after = await evaluate(adapter, held)
  t.same(result.evaluation, after)
  t.same(
    eventsOf(outputDir).map(({ type }) => type),
    seen.map(({ type }) => type),
  )
  t.match(seen.at(-1), { type: 'done', step: 7, ...result })
  const { finishReason, evaluation } = result
  t.match(eventsOf(outputDir).at(-1), { type: 'done', step: 7, finishReason, evaluation })
  t.ok(existsSync(join(outputDir, 'checkpoints', 'step-7', 'state.json')))
  t.notOk(existsSync(join(outputDir, 'checkpoints', 'step-3')), 'the last two are kept')
  t.match(JSON.parse(readFileSync(join(outputDir, 'config.json'), 'utf8')), { kind: 'train', totalSteps: 7 })
  using saved = await model.loadAdapter(join(outputDir, 'adapter'))
  t.ok(sameBits(saved, adapter))
  await t.rejects(train(adapter, data, { maxSteps: 1, outputDir }), {
    code: 'E_ARGUMENT',
    message: /already holds a run/,
  })
})

t.test('break stops; abort rejects with its reason; the adapter is free again', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  using adapter = model.createAdapter({ rank: 4 })
  const data = await tokenRows(20, 263)
  const run = train(adapter, data, { maxSteps: 5000, batchSize: 4 })
  for await (const event of run) if (event.type === 'step' && event.step === 3) break
  const result = await run
  t.ok(result.stopped && result.steps >= 3 && result.steps < 5000)
  adapter.vector()
  const controller = new AbortController()
  const reason = new Error('enough')
  await t.rejects(async () => {
    const aborted = train(adapter, data, { maxSteps: 5000, signal: controller.signal })
    for await (const event of aborted) if (event.type === 'step' && event.step === 2) controller.abort(reason)
  }, reason)
  await t.rejects(train(adapter, data, { maxSteps: 1, signal: controller.signal }), reason)
})

t.test('a second run on the same adapter is E_BUSY; other adapters train beside it', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  using adapter = model.createAdapter({ rank: 4 })
  using other = model.createAdapter({ rank: 4 })
  const data = await tokenRows(20, 263)
  const run = train(adapter, data, { maxSteps: 10, batchSize: 4 })
  await t.rejects(train(adapter, data, { maxSteps: 1 }), { code: 'E_BUSY' })
  t.throws(() => adapter.vector(), { code: 'E_BUSY' })
  t.throws(() => adapter.tensors(), { code: 'E_BUSY' })
  await t.rejects(adapter.gradients({ inputIds: [[1, 2]], labels: [[1, 2]] }), { code: 'E_BUSY' })
  await t.rejects(evaluate(adapter, data), { code: 'E_BUSY' })
  const beside = await train(other, data, { maxSteps: 10, batchSize: 4 })
  await run
  t.equal(beside.steps, 10)
  t.ok(sameBits(adapter, other))
})

t.test('disposing during a run ends it with E_DISPOSED', async (t) => {
  const model = await loadModel(goldenFolder('llama'), reference)
  const data = await tokenRows(20, 263)
  for (const dispose of ['adapter', 'model'] as const) {
    const adapter = model.createAdapter({ rank: 4 })
    await t.rejects(
      async () => {
        for await (const event of train(adapter, data, { maxSteps: 5000, batchSize: 4 })) {
          if (event.type === 'step' && event.step === 2) (dispose === 'adapter' ? adapter : model).dispose()
        }
      },
      { code: 'E_DISPOSED' },
    )
    if (dispose === 'adapter') t.throws(() => adapter.vector(), { code: 'E_DISPOSED' })
    adapter.dispose()
  }
  model.dispose()
})

t.test('a loss that is not finite stops the run, names step and rows, and keeps the last good adapter', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  using adapter = model.createAdapter({ rank: 4 })
  const data = await tokenRows(8, 263)
  const outputDir = join(temporaryFolder('nonfinite'), 'run')
  const good: Buffer[] = []
  const huge = (step: number) => (step < 2 ? 1 : 1e37)
  const run = train(adapter, data, {
    maxSteps: 20,
    batchSize: 4,
    optimizer: 'sgd',
    maxGradNorm: 0,
    schedule: huge,
    learningRate: 1e-2,
    outputDir,
  })
  await t.rejects(
    async () => {
      for await (const event of run) if (event.type === 'step') good.push(Buffer.alloc(0))
    },
    { code: 'E_NONFINITE', message: /step \d+ over the rows \[\[/ },
  )
  t.ok(good.length >= 2 && good.length < 20)
  using saved = await model.loadAdapter(join(outputDir, 'adapter'))
  t.ok(sameBits(saved, adapter))
  t.ok(adapter.vector().every(Number.isFinite))
})

t.test('rows without a supervised token are counted and reported, never NaN', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  using adapter = model.createAdapter({ rank: 4 })
  const bare = { input_ids: [5, 6, 7], labels: [-100, -100, -100] }
  const good = { input_ids: [5, 6, 7], labels: [-100, 6, 7] }
  const data = await loadDataset([good, bare, bare, bare, good, good], { format: 'tokens' })
  const events: TrainEvent[] = []
  const run = train(adapter, data, { epochs: 1, batchSize: 2, shuffle: false, learningRate: 1e-2 })
  for await (const event of run) events.push(event)
  t.same(
    events.map(({ type }) => type),
    ['warning', 'step', 'warning', 'step', 'done'],
  )
  const result = await run
  t.match(result, { steps: 3, unsupervisedRows: 3 })
  t.ok(Number.isFinite(result.loss) && Number.isFinite(result.meanLoss))
  const none = await loadDataset([bare], { format: 'tokens' })
  await t.rejects(evaluate(adapter, none), { code: 'E_DATA' })
})

t.test('bad input is refused before anything moves', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  using adapter = model.createAdapter({ rank: 4 })
  const before = bytesOf(adapter.vector())
  const data = await tokenRows(8, 263)
  await t.rejects(train(adapter, data, { batchsize: 2 } as object), {
    code: 'E_CONFIG',
    message: /did you mean "batchSize"/,
  })
  await t.rejects(train(adapter, data, { epochs: 1, maxSteps: 2 }), { code: 'E_CONFIG' })
  await t.rejects(train({} as never, data, {}), { code: 'E_ARGUMENT' })
  await t.rejects(
    train(adapter, await tokenRows(4, 5000, 1000), { maxSteps: 1 }),
    { code: 'E_ARGUMENT' },
    'ids beyond the vocabulary',
  )
  const folder = temporaryFolder('nothing')
  await t.rejects(train(adapter, data, { resumeFrom: join(folder, 'absent') }), { code: 'E_CHECKPOINT' })
  rmSync(folder, { recursive: true })
  t.ok(before.equals(bytesOf(adapter.vector())))
})
