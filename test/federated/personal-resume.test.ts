/** Interrupted anywhere and resumed, what clients keep and what serves them ends in the bytes of a run that never stopped. */
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { simulate } from '../../src/federated/index.js'
import { loadModel } from '../../src/model/load.js'
import { goldenFolder } from '../support/golden-model.js'
import { filesOf } from '../support/run-folder.js'
import { temporaryFolder, tokenRows } from '../support/train.js'
import { eventsOf, timeless } from './support/federation.js'
import { killedAfter } from './support/killed.js'
import { personalFederation } from './support/personal-federation.js'

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
const root = temporaryFolder('personal-resume')
const whole = join(root, 'whole')
const expected = await simulate(await personalFederation(model, { outputDir: whole }))
expected.adapter.dispose()
t.teardown(() => {
  model.dispose()
  rmSync(root, { recursive: true })
})

t.test('each client that took part has its adapter there, and the last evaluation tells of all', async (t) => {
  const [global, personal] = expected.clientEvaluations
  t.equal(global!.clients.each.length, 5)
  const tookPart = personal!.clients.each.filter((client) => client.tookPart).map(({ name }) => name)
  t.ok(tookPart.length >= 3)
  t.same(readdirSync(join(whole, 'clients')), tookPart)
})

t.test('killed at random moments', async (t) => {
  const folder = join(root, 'killed')
  // In the second round, in an evaluation after a checkpoint, while adapters are saved or before.
  const kills = await killedAfter('test/federated/support/personal-child.ts', folder, [7, 8, 12])
  t.ok(kills >= 2, `${kills} kills`)
  t.same(filesOf(folder), filesOf(whole), 'adapters of the server and of clients, what they keep, byte for byte')
  t.same(eventsOf(folder), eventsOf(whole))
})

t.test(
  'stopped by its signal: the adapters of the last complete round lie there, of server and clients alike',
  async (t) => {
    const folder = join(root, 'stopped')
    const controller = new AbortController()
    const run = simulate(await personalFederation(model, { outputDir: folder, signal: controller.signal }))
    await t.rejects(async () => {
      for await (const event of run) if (event.type === 'client' && event.round === 3) controller.abort()
    })
    const two = join(root, 'two')
    const until = await simulate(
      await personalFederation(model, {
        outputDir: two,
        rounds: 2,
        local: { steps: 2, batchSize: 2, learningRate: 1e-2 },
      }),
    )
    until.adapter.dispose()
    t.same(
      readdirSync(join(folder, 'clients')),
      readdirSync(join(two, 'clients')),
      'of everybody who took part in two rounds',
    )
    const result = await simulate(await personalFederation(model, { resumeFrom: folder, concurrency: 2 }))
    result.adapter.dispose()
    t.same(filesOf(folder), filesOf(whole))
    t.same(timeless(result), timeless(expected))
  },
)

t.test('another way to measure is another run, and is named', async (t) => {
  const refused = async (options: object, message: RegExp) =>
    await t.rejects(simulate({ ...(await personalFederation(model, { resumeFrom: whole })), ...options }), {
      code: 'E_CHECKPOINT',
      message,
    })
  await refused({ evaluate: { of: 'both', every: 1 } }, /evaluate\.fineTune/)
  await refused({ evaluate: { of: 'personal', every: 1, fineTune: { steps: 1 } } }, /evaluate\.of/)
  const { clients, evaluate } = await personalFederation(model)
  const test = await tokenRows(3, 263, 4)
  const other = clients.map((client, i) => (i === 2 ? { ...client, test } : client))
  await refused({ evaluate, clients: other }, /evaluate\.tests/)
  await refused({ algorithm: { name: 'ditto', lambda: 0.2 } }, /federation\.algorithm/)
  await refused({ overrides: { a: { steps: 3 } } }, /federation\.overrides/)
})
