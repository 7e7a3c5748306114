/** Interrupted anywhere and resumed, a federation ends in the bytes of one that never stopped. */
import { appendFileSync, cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { simulate } from '../../src/federated/index.js'
import { loadModel } from '../../src/model/load.js'
import { goldenFolder } from '../support/golden-model.js'
import { filesOf } from '../support/run-folder.js'
import { temporaryFolder } from '../support/train.js'
import { eventsOf, federation, timeless, type Variation } from './support/federation.js'
import { killedAfter } from './support/killed.js'

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
const root = temporaryFolder('federation-resume')
const whole = join(root, 'whole')
const shared = { baselines: ['global', 'local'], checkpointEvery: 2 } satisfies Variation
const expected = await simulate(await federation(model, { ...shared, outputDir: whole }))
expected.adapter.dispose()
t.teardown(() => {
  model.dispose()
  rmSync(root, { recursive: true })
})

/** Runs until `stop` says so, then aborts. */
async function interrupt(folder: string, stop: (type: string, round: number) => boolean): Promise<void> {
  const controller = new AbortController()
  const run = simulate(await federation(model, { ...shared, outputDir: folder, signal: controller.signal }))
  try {
    for await (const event of run) if (stop(event.type, 'round' in event ? event.round : 0)) controller.abort()
    t.fail('the run was not stopped')
  } catch (error) {
    t.equal((error as Error).name, 'AbortError')
  }
}

async function resume(folder: string): Promise<void> {
  const result = await simulate(await federation(model, { ...shared, concurrency: 2, resumeFrom: folder }))
  result.adapter.dispose()
  t.same(filesOf(folder), filesOf(whole), 'adapter, moments, residuals, byte for byte')
  t.same(eventsOf(folder), eventsOf(whole))
  t.same(timeless(result), timeless(expected))
}

for (const [name, stop] of Object.entries<(type: string, round: number) => boolean>({
  'in the first round': (type) => type === 'client',
  'after a round without a checkpoint': (type, round) => type === 'round' && round === 1,
  'after a round with a checkpoint': (type, round) => type === 'checkpoint' && round === 2,
  'inside a later round': (type, round) => type === 'client' && round === 4,
  'in a baseline': (type) => type === 'baseline-step',
  'between baselines': (type) => type === 'baseline',
})) {
  t.test(`stopped ${name}`, async () => {
    const folder = join(root, name.replaceAll(' ', '-'))
    await interrupt(folder, stop)
    await resume(folder)
  })
}

t.test('killed at random moments', async (t) => {
  const folder = join(root, 'killed')
  // Spread over rounds, checkpoints and baselines.
  const kills = await killedAfter('test/federated/support/child.ts', folder, [1, 7, 14])
  t.ok(kills >= 2, `${kills} kills`)
  t.same(filesOf(folder), filesOf(whole))
  t.same(eventsOf(folder), eventsOf(whole))
})

t.test('a torn last line, and lines after the checkpoint, are mended', async () => {
  const folder = join(root, 'torn')
  await interrupt(folder, (type, round) => type === 'client' && round === 4)
  appendFileSync(join(folder, 'events.ndjson'), '{"type":"round","round":4}\n{"type":"rou')
  await resume(folder)
})

t.test('a finished run is resumed without harm', async () => {
  const folder = join(root, 'finished')
  cpSync(whole, folder, { recursive: true })
  await resume(folder)
})

t.test('another run is refused, naming what differs', async (t) => {
  const refused = async (variation: Variation, message: RegExp) =>
    await t.rejects(simulate(await federation(model, { ...shared, ...variation, resumeFrom: whole })), {
      code: 'E_CHECKPOINT',
      message,
    })
  await refused({ seed: 12 }, /federation\.seed = 11, now it is 12/)
  await refused({ upload: { codec: 'int8' } }, /upload\.codec/)
  await refused({ adapter: { rank: 2 } }, /adapter\./)
  await t.rejects(simulate(await federation(model, { ...shared, outputDir: whole })), {
    code: 'E_ARGUMENT',
    message: /already holds a run/,
  })
})

t.test('canary: damage is seen', async (t) => {
  const folder = join(root, 'damaged')
  cpSync(whole, folder, { recursive: true })
  const file = join(folder, 'checkpoints', 'round-5', 'adapter.f32')
  const bytes = readFileSync(file)
  bytes[bytes.length >> 1]! ^= 1
  writeFileSync(file, bytes)
  t.notSame(filesOf(folder), filesOf(whole))
  await t.rejects(simulate(await federation(model, { ...shared, resumeFrom: folder })), { code: 'E_CHECKPOINT' })
})
