/** A training run's folder in which one thing is damaged, gone, edited or foreign: each is refused by a code, and nothing in it is lost. */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadModel } from '../../src/model/load.js'
import { train } from '../../src/training/train.js'
import { copiesOf, damagesOf } from '../support/damages.js'
import { goldenFolder } from '../support/golden-model.js'
import { filesOf } from '../support/run-folder.js'
import { bytesOf, eventsOf, temporaryFolder, tokenRows } from '../support/train.js'

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
const data = await tokenRows(8, 263)
const recipe = { batchSize: 2, maxSteps: 4, learningRate: 1e-2, checkpointEvery: 2, keepCheckpoints: 2 }
const root = temporaryFolder('training-folder')
const whole = join(root, 'whole')
const adapter = model.createAdapter({ rank: 2, seed: 1 })
await train(adapter, data, { ...recipe, outputDir: whole })
t.teardown(() => {
  model.dispose()
  rmSync(root, { recursive: true })
})

const copy = copiesOf(whole, root)

async function resume(folder: string, place = folder) {
  using adapter = model.createAdapter({ rank: 2, seed: 1 })
  const warnings: string[] = []
  const run = train(adapter, data, { ...recipe, resumeFrom: place })
  for await (const event of run) if (event.type === 'warning') warnings.push(event.message)
  return { warnings, vector: bytesOf(adapter.vector()) }
}

const step = join('checkpoints', 'step-4')
const expected = bytesOf(adapter.vector())

t.test('canary: the undamaged copy is taken', async (t) => {
  const folder = copy()
  const { warnings, vector } = await resume(folder, join(folder, step))
  t.same(warnings, [])
  t.same(readdirSync(join(whole, 'checkpoints')).sort(), ['step-2', 'step-4'], 'the newest two are kept')
  t.ok(vector.equals(expected))
  t.same(eventsOf(folder), eventsOf(whole))
})

const damages = damagesOf(join(whole, step), 'step', ['adapter', 'moment1', 'moment2'])
t.ok(damages.length > 20, `${damages.length} damages`)
for (const { name, befall, code, message } of damages) {
  t.test(`${name}: refused where it is named, passed over where it is not`, async (t) => {
    const folder = copy()
    befall(join(folder, step))
    const before = filesOf(folder)
    await t.rejects(resume(folder, join(folder, step)), { code, message })
    t.same(filesOf(folder), before, 'nothing is lost')
    const { warnings, vector } = await resume(folder)
    t.match(warnings, [/checkpoint 4 was passed over/])
    t.match(warnings, [message])
    t.ok(vector.equals(expected), 'it ends as it did')
  })
}

t.test('when every checkpoint is damaged, the last refusal is told', async (t) => {
  const folder = copy()
  for (const n of [2, 4]) rmSync(join(folder, 'checkpoints', `step-${n}`, 'adapter.f32'), { force: true })
  await t.rejects(resume(folder), { code: 'E_CHECKPOINT', message: /'adapter\.f32' is missing/ })
})

t.test('the folder around the checkpoints', async (t) => {
  const config = (folder: string, change: (config: Record<string, unknown>) => void) => {
    const path = join(folder, 'config.json')
    const content = JSON.parse(readFileSync(path, 'utf8'))
    change(content)
    writeFileSync(path, JSON.stringify(content))
  }
  const log = (folder: string) => join(folder, 'events.ndjson')
  const cases: [string, (folder: string) => void, string, RegExp][] = [
    ['config.json gone', (folder) => rmSync(join(folder, 'config.json')), 'E_CHECKPOINT', /has lost its config\.json/],
    [
      'config.json of a federation',
      (f) => config(f, (c) => (c.kind = 'federation')),
      'E_CHECKPOINT',
      /not the config of a training run/,
    ],
    [
      'config.json of another release',
      (f) => config(f, (c) => (c.version = 1)),
      'E_VERSION',
      /version 1, expected 2; resume with the release/,
    ],
    [
      'another recipe',
      (f) => config(f, (c) => ((c.options as { seed: number }).seed = 9)),
      'E_CHECKPOINT',
      /options\.seed = 9, now it is 0/,
    ],
    [
      'another model',
      (f) => config(f, (c) => ((c.model as { hidden: number }).hidden = 1)),
      'E_CHECKPOINT',
      /model\.hidden = 1/,
    ],
    ['no log', (folder) => rmSync(log(folder)), 'E_CHECKPOINT', /events\.ndjson' is shorter than checkpoint/],
    [
      'a short log',
      (folder) => truncateSync(log(folder), 20),
      'E_CHECKPOINT',
      /events\.ndjson' is shorter than checkpoint/,
    ],
    [
      'a log of another release',
      (folder) => writeFileSync(log(folder), readFileSync(log(folder), 'utf8').replace('"version":1', '"version":0')),
      'E_VERSION',
      /version 0 of the event log, expected 1/,
    ],
    [
      'a log without its first line',
      (folder) =>
        writeFileSync(log(folder), readFileSync(log(folder), 'utf8').replace('{"type":"log"', '{"type":"gol"')),
      'E_VERSION',
      /version none of the event log/,
    ],
  ]
  for (const [name, befall, code, message] of cases) {
    const folder = copy()
    befall(folder)
    const before = filesOf(folder)
    await t.rejects(resume(folder), { code, message }, name)
    t.same(filesOf(folder), before, `${name}: nothing is lost`)
  }
  const origin = copy()
  config(origin, (c) => ((c.origin as { isa: string }).isa = 'other'))
  t.match((await resume(origin)).warnings, [/begun on other and goes on on/])
})

t.test('a folder that holds something else is left alone', async (t) => {
  for (const name of ['adapter', 'best', 'checkpoints', 'config.json']) {
    const outputDir = join(root, `taken-${name}`)
    mkdirSync(outputDir)
    writeFileSync(join(outputDir, name), 'mine')
    await t.rejects(train(adapter, data, { ...recipe, outputDir }), { code: 'E_ARGUMENT', details: { holds: name } })
    t.equal(readFileSync(join(outputDir, name), 'utf8'), 'mine')
  }
  const begun = join(root, 'begun')
  mkdirSync(begun)
  cpSync(join(whole, 'config.json'), join(begun, 'config.json'))
  await train(adapter, data, { ...recipe, outputDir: begun })
  await t.rejects(train(adapter, data, { ...recipe, outputDir: begun }), {
    code: 'E_ARGUMENT',
    details: { holds: 'run' },
  })
})
