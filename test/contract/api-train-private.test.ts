/** Private training over a model: what a run tells and keeps of its spend, its budget, its bits, and what it learns in spite of noise. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadModel } from '../../src/model/load.js'
import { epsilon } from '../../src/privacy/epsilon.js'
import type { StepEvent } from '../../src/training/events.js'
import type { TrainOptions } from '../../src/training/options.js'
import { train } from '../../src/training/train.js'
import { goldenFolder } from '../support/golden-model.js'
import { bytesOf, eventsOf, sameBits, temporaryFolder, tokenRows } from '../support/train.js'

const data = await tokenRows(24, 263)
const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', compute: 'f32', threads: 2 })
const root = temporaryFolder('private')
t.teardown(() => {
  model.dispose()
  rmSync(root, { recursive: true })
})
const adapter = () => model.createAdapter({ rank: 4, dropout: 0.1, seed: 2 })
const privacy = { clip: 0.5, noiseMultiplier: 1.5, delta: 1e-3, accountant: 'rdp', noise: 'seeded' } as const
const recipe = {
  maxSteps: 8,
  batchSize: 3,
  gradientAccumulation: 2,
  learningRate: 1e-3,
  seed: 4,
  checkpointEvery: 3,
} satisfies TrainOptions
const ledger = (folder: string) => JSON.parse(readFileSync(join(folder, 'privacy.json'), 'utf8'))

t.test('events and result say what is spent; batchSize is only how many rows share a pass', async (t) => {
  const trained = adapter()
  const steps: StepEvent[] = []
  const run = train(trained, data, { ...recipe, privacy })
  for await (const event of run) if (event.type === 'step') steps.push(event)
  const result = await run
  t.equal(steps.length, 8)
  const spent = { sampleRate: 0.25, noiseMultiplier: 1.5, delta: 1e-3, accountant: 'rdp' } as const
  for (const { step, privacy } of steps) t.equal(privacy?.epsilon, epsilon({ ...spent, steps: step }).epsilon)
  t.match(result.privacy, { ...spent, steps: 8, epsilon: epsilon({ ...spent, steps: 8 }).epsilon })
  t.ok(new Set(steps.map(({ privacy }) => privacy!.rows)).size > 1, 'the number of rows differs from draw to draw')
  t.equal(result.epoch, 2, 'on average')

  const other = adapter()
  await train(other, data, { ...recipe, batchSize: 1, gradientAccumulation: 6, privacy })
  t.ok(sameBits(trained, other))
  const noisier = adapter()
  await train(noisier, data, { ...recipe, privacy: { ...privacy, noiseMultiplier: 1.6 } })
  t.notOk(sameBits(trained, noisier), 'canary')
  const secure = [adapter(), adapter()] as const
  for (const one of secure) await train(one, data, { ...recipe, privacy: { ...privacy, noise: 'secure' } })
  t.notOk(sameBits(...secure))
})

t.test(
  'a seeded run goes on bit by bit; its folder says what is spent before it holds a checkpoint or an adapter',
  async (t) => {
    const [whole, parts] = [join(root, 'whole'), join(root, 'parts')]
    const reference = adapter()
    await train(reference, data, { ...recipe, outputDir: whole, privacy })
    t.match(ledger(whole), { version: 1, steps: 8, noiseMultiplier: 1.5 })
    const first = adapter()
    const run = train(first, data, { ...recipe, outputDir: parts, privacy })
    for await (const event of run) if (event.type === 'step' && event.step === 5) break
    t.ok([5, 6].includes(ledger(parts).steps), 'the step under way is ended')
    const resumed = adapter()
    const result = await train(resumed, data, { ...recipe, resumeFrom: parts, privacy })
    t.ok(sameBits(reference, resumed))
    t.equal(result.privacy?.steps, 8)
    t.same(
      eventsOf(parts).filter(({ type }) => type === 'step'),
      eventsOf(whole).filter(({ type }) => type === 'step'),
    )
    await t.rejects(train(adapter(), data, { ...recipe, resumeFrom: parts, privacy: { ...privacy, clip: 1 } }), {
      code: 'E_CHECKPOINT',
      details: { field: 'options.privacy.clip' },
    })
  },
)

t.test('resumed from an earlier step with other noise, what was seen before still counts', async (t) => {
  const folder = join(root, 'rewound')
  const secure = { ...privacy, noise: 'secure' } as const
  const run = train(adapter(), data, { ...recipe, outputDir: folder, privacy: secure })
  for await (const event of run) if (event.type === 'step' && event.step === 5) break
  const seen: number = ledger(folder).steps
  t.ok([5, 6].includes(seen))
  const from = join(folder, 'checkpoints/step-3')
  t.ok(existsSync(from))
  const result = await train(adapter(), data, {
    ...recipe,
    resumeFrom: from,
    outputDir: join(root, 'branch'),
    privacy: secure,
  })
  t.equal(result.steps, 8)
  t.equal(result.privacy?.steps, seen + 5, 'those, and the five from step 3 on')
  t.equal(ledger(join(root, 'branch')).steps, seen + 5)
  writeFileSync(join(folder, 'privacy.json'), '{"version":1,"steps":"many"}')
  await t.rejects(train(adapter(), data, { ...recipe, resumeFrom: folder, privacy: secure }), { code: 'E_CHECKPOINT' })
})

t.test('what cannot be written down as spent is not given away', async (t) => {
  const folder = join(root, 'unwritable')
  const run = train(adapter(), data, { ...recipe, outputDir: folder, privacy })
  await t.rejects(
    async () => {
      for await (const event of run) {
        if (event.type !== 'step' || event.step !== 1) continue
        rmSync(join(folder, 'privacy.json'))
        mkdirSync(join(folder, 'privacy.json/in-the-way'), { recursive: true })
      }
      await run
    },
    { code: 'E_IO' },
  )
  t.same(readdirSync(join(folder, 'checkpoints')), ['step-0'])
  t.notOk(existsSync(join(folder, 'adapter')))
})

t.test('a run ends in order when its budget is spent', async (t) => {
  const one = epsilon({ sampleRate: 0.25, noiseMultiplier: 1.5, steps: 4, delta: 1e-3, accountant: 'rdp' }).epsilon
  const folder = join(root, 'budget')
  const trained = adapter()
  const result = await train(trained, data, {
    ...recipe,
    outputDir: folder,
    privacy: { ...privacy, epsilon: one * 1.001 },
  })
  t.match(result, { steps: 4, totalSteps: 8, finishReason: 'budget', stopped: false })
  t.ok(result.privacy!.epsilon <= one * 1.001)
  t.ok(existsSync(join(folder, 'adapter/adapter_model.safetensors')))
  t.equal(eventsOf(folder).at(-1)?.type, 'done')
  const again = await train(adapter(), data, {
    ...recipe,
    resumeFrom: folder,
    privacy: { ...privacy, epsilon: one * 1.001 },
  })
  t.equal(again.steps, 4, 'and is not begun again')
})

t.test(
  'without noise it learns; with much noise on little data it does not: a private run is no plain one',
  async (t) => {
    const options = { ...recipe, maxSteps: 40, learningRate: 1e-2, schedule: 'constant' } as const
    const losses = []
    for (const noiseMultiplier of [0, 300]) {
      const result = await train(adapter(), data, { ...options, privacy: { ...privacy, noiseMultiplier } })
      losses.push(result.loss)
      t.equal(result.privacy!.epsilon === Number.POSITIVE_INFINITY, noiseMultiplier === 0)
    }
    const first = await train(adapter(), data, { ...options, maxSteps: 1, privacy: { ...privacy, noiseMultiplier: 0 } })
    t.ok(losses[0]! < first.loss - 0.5, `${first.loss} → ${losses[0]}`)
    t.notOk(losses[1]! < first.loss - 0.5, `${losses[1]}`)
  },
)

t.test('a draw of nobody is a step as well: noise, an event, a count', async (t) => {
  const few = await tokenRows(3, 263)
  const steps: StepEvent[] = []
  const trained = adapter()
  const before = bytesOf(trained.vector())
  const run = train(trained, few, {
    maxSteps: 6,
    batchSize: 1,
    privacy: { ...privacy, noise: 'seeded', delta: 0.1 },
    seed: 11,
  })
  for await (const event of run) if (event.type === 'step') steps.push(event)
  const empty = steps.filter(({ privacy }) => privacy?.rows === 0)
  t.ok(empty.length > 0 && empty.length < 6)
  t.ok(empty.every(({ loss, tokens, gradNorm }) => Number.isNaN(loss) && tokens === 0 && gradNorm > 0))
  t.equal((await run).privacy?.steps, 6)
  t.notOk(bytesOf(trained.vector()).equals(before))

  const folder = join(root, 'empty')
  const options = { maxSteps: 6, batchSize: 1, privacy: { ...privacy, delta: 0.1 }, seed: 11 } as const
  const first = empty[0]!.step
  const parts = train(adapter(), few, { ...options, outputDir: folder })
  for await (const event of parts) if (event.type === 'step' && event.step === first) break
  const resumed = adapter()
  await train(resumed, few, { ...options, resumeFrom: folder })
  t.ok(sameBits(trained, resumed), 'it numbers the updates that follow')
})
