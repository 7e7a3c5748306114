/** Interrupted at any step and resumed, a run ends in the bytes of one that never stopped. */

import { spawn } from 'node:child_process'
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadModel } from '../../src/model/load.js'
import type { Model } from '../../src/model/model.js'
import type { TrainOptions } from '../../src/training/options.js'
import { train } from '../../src/training/train.js'
import { goldenFolder } from '../support/golden-model.js'
import { filesOf, stateOf } from '../support/run-folder.js'
import { bytesOf, eventsOf, sameBits, temporaryFolder, tokenRows } from '../support/train.js'

const data = await tokenRows(22, 263)
const held = await tokenRows(4, 263, 9)
const recipe = {
  epochs: 1.9,
  batchSize: 2,
  gradientAccumulation: 2,
  learningRate: 1e-2,
  schedule: 'cosine',
  warmupRatio: 0.2,
  weightDecay: 0.01,
  seed: 4,
  checkpointEvery: 4,
  evaluate: { data: held, every: 3 },
} satisfies TrainOptions
const lora = { rank: 4, dropout: 0.2, seed: 2 }

const model = await loadModel(goldenFolder('qwen3'), { quantization: 'nf4', compute: 'bf16', threads: 2 })
const root = temporaryFolder('resume')
const whole = join(root, 'whole')
const reference = model.createAdapter(lora)
const expected = await train(reference, data, { ...recipe, outputDir: whole })
t.teardown(() => {
  model.dispose()
  rmSync(root, { recursive: true })
})

/** Stops a run after `step` steps by aborting it, and resumes it in a fresh adapter. */
async function interrupted(model: Model, step: number, folder: string) {
  const controller = new AbortController()
  const first = model.createAdapter(lora)
  const run = train(first, data, { ...recipe, outputDir: folder, signal: controller.signal })
  try {
    for await (const event of run) if (event.type === 'step' && event.step === step) controller.abort()
  } catch (error) {
    t.equal((error as Error).name, 'AbortError')
  }
  first.dispose()
  const second = model.createAdapter({ ...lora, seed: 99 })
  second.setVector(second.vector().fill(0.5))
  const again = model.createAdapter(lora)
  second.dispose()
  const result = await train(again, data, { ...recipe, resumeFrom: folder })
  return { again, result }
}

t.equal(expected.steps, 11)

for (const step of [1, 2, 3, 4, 6, 8, 10, 11]) {
  t.test(`stopped after step ${step}`, async (t) => {
    const folder = join(root, `abort-${step}`)
    const { again, result } = await interrupted(model, step, folder)
    t.ok(sameBits(again, reference))
    t.same(eventsOf(folder), eventsOf(whole))
    const kept = /\.(f32|safetensors)$|config\.json$/
    t.same(filesOf(folder, kept), filesOf(whole, kept), 'adapter, moments and config, byte for byte')
    for (const name of readdirSync(join(whole, 'checkpoints')).map((name) => join('checkpoints', name))) {
      t.same(stateOf(join(folder, name)), stateOf(join(whole, name)))
    }
    t.equal(result.loss, expected.loss)
    t.equal(result.meanLoss, expected.meanLoss)
    again.dispose()
  })
}

t.test('killed at random moments', async (t) => {
  const script = join(process.cwd(), 'test/support/train-child.ts')
  const folder = join(root, 'killed')
  mkdirSync(folder)
  let kills = 0
  for (let round = 0; ; round++) {
    const child = spawn(process.execPath, [...process.execArgv, script, folder], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: process.env,
    })
    const limit = [2, 5, 6][round] ?? Number.POSITIVE_INFINITY
    let steps = 0
    child.stdout.on('data', (chunk: Buffer) => {
      steps += chunk.toString().split('\n').length - 1
      if (steps >= limit) child.kill('SIGKILL')
    })
    const code = await new Promise<number | null>((resolve) => child.on('exit', resolve))
    if (code === 0) break
    t.equal(code, null)
    if (++kills > 3) throw new Error('the run never ends')
  }
  t.ok(kills >= 2, `${kills} kills`)
  using adapter = await model.loadAdapter(join(folder, 'adapter'))
  t.ok(sameBits(adapter, reference))
  t.same(eventsOf(folder), eventsOf(whole))
})

t.test('a torn last line is mended; later events are dropped', async (t) => {
  for (const damage of ['torn', 'half', 'extra'] as const) {
    const folder = join(root, `log-${damage}`)
    const { again } = await interrupted(model, 6, folder)
    again.dispose()
    rmSync(join(folder, 'checkpoints', 'step-11'), { recursive: true })
    const log = join(folder, 'events.ndjson')
    const text = readFileSync(log, 'utf8')
    const upTo = text.indexOf('"step":9')
    if (damage === 'torn') truncateSync(log, upTo + 4)
    if (damage === 'half') writeFileSync(log, text.slice(0, text.lastIndexOf('\n', upTo) - 9))
    if (damage === 'extra') appendFileSync(log, '{"type":"step","st')
    using adapter = model.createAdapter(lora)
    await train(adapter, data, { ...recipe, resumeFrom: folder })
    t.ok(sameBits(adapter, reference), damage)
    t.same(eventsOf(folder), eventsOf(whole), damage)
  }
})

t.test('a damaged checkpoint is passed over for the one before it', async (t) => {
  const folder = join(root, 'damaged')
  cpSync(whole, folder, { recursive: true })
  const tensors = join(folder, 'checkpoints', 'step-11', 'adapter.f32')
  truncateSync(tensors, 100)
  using adapter = model.createAdapter(lora)
  const warnings: string[] = []
  const run = train(adapter, data, { ...recipe, resumeFrom: folder })
  for await (const event of run) if (event.type === 'warning') warnings.push(event.message)
  t.match(warnings, [/checkpoint 11 was passed over/])
  t.ok(sameBits(adapter, reference))
  t.same(eventsOf(folder), eventsOf(whole))
})

t.test('one named checkpoint, into another folder', async (t) => {
  const target = join(root, 'elsewhere')
  using adapter = model.createAdapter(lora)
  await train(adapter, data, { ...recipe, resumeFrom: join(whole, 'checkpoints', 'step-8'), outputDir: target })
  t.ok(sameBits(adapter, reference))
  t.same(eventsOf(target), eventsOf(whole))
  t.same(eventsOf(whole).at(-1)!.type, 'done', 'the old run is untouched')
})

t.test('another run is refused, naming what differs', async (t) => {
  using adapter = model.createAdapter(lora)
  const before = bytesOf(adapter.vector())
  const refused = async (options: TrainOptions, why: RegExp) =>
    await t.rejects(train(adapter, data, { ...recipe, resumeFrom: whole, ...options }), {
      code: 'E_CHECKPOINT',
      message: why,
    })
  await refused({ learningRate: 2e-2 }, /options\.learningRate = 0\.01, now it is 0\.02/)
  await refused({ seed: 5 }, /options\.seed/)
  await refused({ evaluate: undefined }, /evaluate/)
  await t.rejects(train(adapter, held, { ...recipe, resumeFrom: whole }), {
    code: 'E_CHECKPOINT',
    message: /totalSteps|data/,
  })
  using wider = model.createAdapter({ ...lora, rank: 8 })
  await t.rejects(train(wider, data, { ...recipe, resumeFrom: whole }), { code: 'E_CHECKPOINT', message: /adapter/ })
  t.ok(before.equals(bytesOf(adapter.vector())))
})

t.test('canary: a run that lost its moments does not end in the same bytes', async (t) => {
  using adapter = model.createAdapter(lora)
  using early = model.createAdapter(lora)
  const controller = new AbortController()
  const run = train(early, data, { ...recipe, signal: controller.signal })
  try {
    for await (const event of run) if (event.type === 'step' && event.step === 4) controller.abort()
  } catch {}
  adapter.setVector(early.vector())
  await train(adapter, data, { ...recipe, maxSteps: 7, epochs: undefined })
  t.notOk(sameBits(adapter, reference))
})
