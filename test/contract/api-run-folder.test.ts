/** What a run folder holds however the run ended, and what it can go on to: failures, aborts, longer runs, the best adapter, TensorBoard. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { evaluate } from '../../src/evaluation/evaluate.js'
import { simulate } from '../../src/federated/index.js'
import { loadModel } from '../../src/model/load.js'
import type { StepEvent, TrainEvent } from '../../src/training/events.js'
import type { TrainOptions } from '../../src/training/options.js'
import { train } from '../../src/training/train.js'
import { goldenFolder } from '../support/golden-model.js'
import { filesOf } from '../support/run-folder.js'
import { bytesOf, eventsOf, sameBits, temporaryFolder, tokenRows } from '../support/train.js'

const model = await loadModel(goldenFolder('llama'), { quantization: 'none', compute: 'f32', threads: 2 })
const data = await tokenRows(20, 263)
const held = await tokenRows(5, 263, 4)
const lora = { rank: 4, dropout: 0.1, seed: 2 }
const root = temporaryFolder('run-folder')
t.teardown(() => {
  model.dispose()
  rmSync(root, { recursive: true })
})

/** A schedule that blows the run up after so many steps. */
const exploding = (steps: number): TrainOptions => ({
  batchSize: 4,
  maxSteps: 20,
  optimizer: 'sgd',
  maxGradNorm: 0,
  learningRate: 1e-2,
  schedule: (step) => (step < steps ? 1 : 1e37),
})

t.test(
  'a failure leaves an event, the last good adapter and a checkpoint from which a cured run goes on',
  async (t) => {
    const outputDir = join(root, 'failed')
    using adapter = model.createAdapter(lora)
    const run = train(adapter, data, { ...exploding(4), outputDir, checkpointEvery: 100 })
    const seen: TrainEvent[] = []
    const onlooker = (async () => {
      for await (const event of run.events()) seen.push(event)
    })()
    const error = await run.then(
      () => {
        throw new Error('it ends well')
      },
      (failure) => failure as Error,
    )
    await onlooker
    const last = seen.at(-1)!
    t.match(last, { type: 'error', code: 'E_NONFINITE', message: error.message, details: { step: Number } })
    const { step } = last as { step: number }
    t.ok(step >= 4 && step < 20)
    t.same(eventsOf(outputDir).at(-1), JSON.parse(JSON.stringify(last)), 'the last line of the log')
    using saved = await model.loadAdapter(join(outputDir, 'adapter'))
    t.ok(sameBits(saved, adapter))
    t.ok(existsSync(join(outputDir, 'checkpoints', `step-${step}`)))
    const events: TrainEvent[] = []
    using again = model.createAdapter(lora)
    const cured = train(again, data, { ...exploding(4), resumeFrom: outputDir })
    await t.rejects(
      async () => {
        for await (const event of cured) events.push(event)
      },
      { code: 'E_NONFINITE' },
      'the same run fails again, from where it stood',
    )
    t.ok(events.every((event) => event.type !== 'step' || event.step > step))
    t.equal(
      eventsOf(outputDir).filter(({ type }) => type === 'error').length,
      1,
      'the old failure is no longer in the log',
    )
  },
)

t.test('failures before the first step are events too; the folder of another run stays as it is', async (t) => {
  const outputDir = join(root, 'used')
  using adapter = model.createAdapter(lora)
  await train(adapter, data, { maxSteps: 1, outputDir })
  const before = readFileSync(join(outputDir, 'events.ndjson'), 'utf8')
  for (const options of [{ maxSteps: 1, outputDir }, { maxSteps: -1 }]) {
    const run = train(adapter, data, options)
    const seen: TrainEvent[] = []
    await t.rejects(async () => {
      for await (const event of run) seen.push(event)
    })
    t.match(seen, [{ type: 'error', step: 0 }])
  }
  t.equal(readFileSync(join(outputDir, 'events.ndjson'), 'utf8'), before)
})

t.test('what fails while a failed run is kept does not hide why it failed', async (t) => {
  const outputDir = join(root, 'masked')
  using adapter = model.createAdapter(lora)
  const run = train(adapter, data, { ...exploding(3), outputDir })
  await t.rejects(
    async () => {
      for await (const event of run) {
        if (event.type !== 'step' || event.step !== 1) continue
        rmSync(join(outputDir, 'checkpoints'), { recursive: true })
        writeFileSync(join(outputDir, 'checkpoints'), 'in the way')
      }
    },
    { code: 'E_NONFINITE', details: { notKept: [/checkpoints/] } },
  )
  using saved = await model.loadAdapter(join(outputDir, 'adapter'))
  t.ok(sameBits(saved, adapter), 'what can be kept is kept')
  const federation = join(root, 'masked-federation')
  const rounds = simulate({
    model,
    adapter: { rank: 4 },
    clients: [data, held],
    rounds: 9,
    local: {
      steps: 1,
      batchSize: 4,
      optimizer: 'sgd',
      maxGradNorm: 0,
      schedule: (round) => (round < 2 ? 1 : 1e38),
      learningRate: 1e-2,
    },
    checkpointEvery: 100,
    outputDir: federation,
  })
  const failure = async () => {
    for await (const event of rounds) {
      if (event.type === 'round' && event.round === 1) writeFileSync(join(federation, 'checkpoints'), 'in the way')
    }
  }
  await t.rejects(failure, { code: 'E_NONFINITE', details: { notKept: [/checkpoints/] } })
  t.match(eventsOf(federation).at(-1), { type: 'error', code: 'E_NONFINITE', round: Number })
  t.ok(existsSync(join(federation, 'adapter', 'adapter_model.safetensors')))
})

t.test('an abort leaves the adapter of its checkpoint, and no error event', async (t) => {
  const outputDir = join(root, 'aborted')
  const controller = new AbortController()
  using adapter = model.createAdapter(lora)
  const run = train(adapter, data, { maxSteps: 5000, batchSize: 4, outputDir, signal: controller.signal })
  await t.rejects(
    async () => {
      for await (const event of run) if (event.type === 'step' && event.step === 3) controller.abort()
    },
    { name: 'AbortError' },
  )
  using saved = await model.loadAdapter(join(outputDir, 'adapter'))
  t.ok(sameBits(saved, adapter))
  t.notOk(eventsOf(outputDir).some(({ type }) => type === 'error'))
})

t.test('steps tell how many there are, and the epoch', async (t) => {
  using adapter = model.createAdapter(lora)
  const run = train(adapter, data, { epochs: 1.5, batchSize: 4, learningRate: 1e-3 })
  const steps: StepEvent[] = []
  for await (const event of run) if (event.type === 'step') steps.push(event)
  t.same(
    steps.map(({ step, totalSteps, epoch }) => [step, totalSteps, epoch]),
    [0.2, 0.4, 0.6, 0.8, 1, 1.2, 1.4, 1.5].map((epoch, i) => [i + 1, 8, epoch]),
  )
  t.match(await run, { totalSteps: 8, epoch: 1.5, finishReason: 'completed', stopped: false })
})

t.test(
  'a run grows where its schedule allows it, and ends as if it had been that long from the beginning',
  async (t) => {
    for (const [name, options] of [
      ['constant', { schedule: 'constant' }],
      ['warmup', { schedule: 'constant_with_warmup', warmupSteps: 3 }],
      ['inverse_sqrt', { schedule: 'inverse_sqrt', warmupSteps: 2 }],
    ] as const) {
      const recipe = { batchSize: 4, learningRate: 1e-2, seed: 3, ...options }
      const folder = join(root, `grown-${name}`)
      using short = model.createAdapter(lora)
      await train(short, data, { ...recipe, maxSteps: 6, outputDir: folder })
      using grown = model.createAdapter(lora)
      const result = await train(grown, data, { ...recipe, maxSteps: 11, resumeFrom: folder })
      t.match(result, { steps: 11, totalSteps: 11 })
      using whole = model.createAdapter(lora)
      await train(whole, data, { ...recipe, maxSteps: 11 })
      t.ok(sameBits(grown, whole), name)
      t.notOk(sameBits(grown, short), 'canary: the short one is another')
      await t.rejects(
        train(grown, data, { ...recipe, maxSteps: 7, resumeFrom: folder }),
        { code: 'E_CHECKPOINT', message: /has done 11 steps, and is to do 7 now/ },
        'not shorter than what is done',
      )
    }
    const epochs = join(root, 'grown-epochs')
    const recipe = { batchSize: 4, learningRate: 1e-2, schedule: 'constant', outputDir: epochs } as const
    using adapter = model.createAdapter(lora)
    await train(adapter, data, { ...recipe, epochs: 1 })
    t.match(await train(adapter, data, { ...recipe, epochs: 2, resumeFrom: epochs }), { steps: 10, epoch: 2 })
  },
)

t.test(
  'a schedule that depends on the length is refused with the cure; within its warm-up it may still change',
  async (t) => {
    const folder = join(root, 'fixed')
    const recipe = { batchSize: 4, learningRate: 1e-2, schedule: 'linear', warmupSteps: 3 } as const
    using adapter = model.createAdapter(lora)
    await train(adapter, data, { ...recipe, maxSteps: 6, outputDir: folder, checkpointEvery: 2, keepCheckpoints: 9 })
    const before = bytesOf(adapter.vector())
    await t.rejects(train(adapter, data, { ...recipe, maxSteps: 12, resumeFrom: folder }), {
      code: 'E_CHECKPOINT',
      message: /begun with 6 steps, now it is to do 12, but schedule "linear".*constant_with_warmup/,
    })
    t.ok(before.equals(bytesOf(adapter.vector())), 'nothing has moved')
    const early = join(folder, 'checkpoints', 'step-2')
    using grown = model.createAdapter(lora)
    await train(grown, data, { ...recipe, maxSteps: 12, resumeFrom: early, outputDir: join(root, 'fixed-longer') })
    using whole = model.createAdapter(lora)
    await train(whole, data, { ...recipe, maxSteps: 12 })
    t.ok(sameBits(grown, whole))
  },
)

t.test('a federation grows by rounds under the same rule', async (t) => {
  const options = (schedule: 'constant' | 'cosine', rounds: number) => ({
    model,
    adapter: lora,
    clients: [data, held],
    rounds,
    local: { steps: 1, batchSize: 4, learningRate: 1e-2, schedule },
    upload: { codec: 'int8' as const },
    serverOptimizer: 'momentum' as const,
  })
  const folder = join(root, 'grown-federation')
  const short = await simulate({ ...options('constant', 2), outputDir: folder })
  const grown = await simulate({ ...options('constant', 4), resumeFrom: folder })
  const whole = await simulate(options('constant', 4))
  t.equal(grown.rounds, 4)
  t.ok(sameBits(grown.adapter, whole.adapter))
  t.notOk(sameBits(grown.adapter, short.adapter), 'canary')
  const again = { ...options('constant', 3), resumeFrom: folder }
  await t.rejects(async () => await simulate(again), { code: 'E_CHECKPOINT', message: /has done 4 rounds/ })
  const fixed = join(root, 'fixed-federation')
  await simulate({ ...options('cosine', 2), outputDir: fixed })
  const longer = { ...options('cosine', 4), resumeFrom: fixed }
  await t.rejects(async () => await simulate(longer), { code: 'E_CHECKPOINT', message: /schedule "cosine" depends/ })
  const judged = join(root, 'judged-federation')
  await simulate({ ...options('constant', 1), baselines: ['global'], outputDir: judged })
  const more = { ...options('constant', 2), baselines: ['global' as const], resumeFrom: judged }
  await t.rejects(async () => await simulate(more), { code: 'E_CHECKPOINT', message: /baselines have their budget/ })
})

/** A learning rate so large that the held-out loss soon rises. */
const rising: TrainOptions = {
  batchSize: 4,
  maxSteps: 60,
  learningRate: 0.5,
  schedule: 'constant',
  checkpointEvery: 4,
  evaluate: { data: held, every: 2, best: 'loss', patience: 3 },
}

t.test('early stopping: the best adapter is kept and named; a resumed run stops at the same step', async (t) => {
  const outputDir = join(root, 'early')
  using adapter = model.createAdapter(lora)
  const run = train(adapter, data, { ...rising, outputDir })
  const losses: [number, number, boolean][] = []
  for await (const event of run) if (event.type === 'evaluation') losses.push([event.step, event.loss, event.best!])
  const result = await run
  t.match(result, { finishReason: 'early-stopping', stopped: false, totalSteps: 60 })
  const [bestStep, bestLoss] = losses.reduce((best, one) => (one[1] < best[1] ? one : best))
  t.match(result.best, { step: bestStep, loss: bestLoss, adapter: join(outputDir, 'best') })
  t.equal(result.steps, bestStep + 6, 'three evaluations later')
  t.equal(losses.findLast(([, , best]) => best)![0], bestStep)
  using best = await model.loadAdapter(join(outputDir, 'best'))
  t.equal((await evaluate(best, held)).loss, bestLoss, 'it is the adapter of that step')
  t.notOk(sameBits(best, adapter), 'canary: the last adapter is another')
  t.ok(readdirSync(join(outputDir, 'checkpoints')).includes(`step-${result.steps}`))

  for (const stop of [bestStep, bestStep + 3]) {
    const broken = join(root, `early-${stop}`)
    const controller = new AbortController()
    using first = model.createAdapter(lora)
    const begun = train(first, data, { ...rising, outputDir: broken, signal: controller.signal })
    await t.rejects(async () => {
      for await (const event of begun) if (event.type === 'step' && event.step === stop) controller.abort()
    })
    using second = model.createAdapter(lora)
    const resumed = await train(second, data, { ...rising, resumeFrom: broken })
    t.ok(sameBits(second, adapter), `stopped after ${stop}`)
    t.same({ ...resumed.best, adapter: '' }, { ...result.best, adapter: '' })
    t.same(
      eventsOf(broken),
      eventsOf(outputDir).map((event) =>
        (event.best as { adapter?: string } | undefined)?.adapter
          ? { ...event, best: { ...(event.best as object), adapter: join(broken, 'best') } }
          : event,
      ),
    )
    using kept = await model.loadAdapter(join(broken, 'best'))
    t.ok(sameBits(kept, best))
  }
  const elsewhere = join(root, 'early-elsewhere')
  using third = model.createAdapter(lora)
  const moved = await train(third, data, { ...rising, resumeFrom: outputDir, outputDir: elsewhere })
  t.match(moved.best, { step: bestStep, adapter: join(elsewhere, 'best') }, 'nothing better comes in another folder')
  t.same(filesOf(join(elsewhere, 'best'), /./), filesOf(join(outputDir, 'best'), /./), 'and what was best is there')
  const ended = await train(adapter, data, { ...rising, resumeFrom: outputDir })
  t.match(ended, { finishReason: 'early-stopping', steps: result.steps }, 'a run that was out of patience stays so')
  const patient = { ...rising, evaluate: { ...rising.evaluate!, patience: 4 } }
  const longer = await train(adapter, data, { ...patient, resumeFrom: outputDir })
  t.ok(longer.steps > result.steps, 'more patience, more steps')
})

t.test('options that belong together', async (t) => {
  using adapter = model.createAdapter(lora)
  for (const [options, message] of [
    [{ evaluate: { data: held, best: 'loss' } }, /evaluate\.best needs outputDir/],
    [{ evaluate: { data: held, patience: 2 } }, /evaluate\.patience needs evaluate\.every/],
    [{ tensorboard: true }, /tensorboard: true needs outputDir/],
  ] as [TrainOptions, RegExp][]) {
    await t.rejects(train(adapter, data, { maxSteps: 1, ...options }), { code: 'E_CONFIG', message })
  }
})

t.test('TensorBoard files of a run and of its resumption', async (t) => {
  const outputDir = join(root, 'board')
  using adapter = model.createAdapter(lora)
  const recipe = { batchSize: 4, schedule: 'constant', evaluate: { data: held, every: 2 }, tensorboard: true } as const
  await train(adapter, data, { ...recipe, maxSteps: 3, outputDir })
  await train(adapter, data, { ...recipe, maxSteps: 5, resumeFrom: outputDir })
  const files = readdirSync(join(outputDir, 'tensorboard')).sort()
  t.equal(files.length, 2)
  t.ok(files.every((name) => name.includes('tfevents')))
  const texts = files.map((name) => readFileSync(join(outputDir, 'tensorboard', name), 'latin1'))
  const occurrences = (text: string, tag: string) => text.split(tag).length - 1
  t.same(
    texts.map((text) => [occurrences(text, 'train/loss'), occurrences(text, 'eval/loss')]),
    [
      [3, 2],
      [2, 2],
    ],
  )
  const own = join(root, 'elsewhere')
  await train(adapter, data, { ...recipe, maxSteps: 1, tensorboard: own })
  t.equal(readdirSync(own).length, 1, 'a folder of its own needs no run folder')
})
