/**
 * What every algorithm promises, for each that there is: it runs with its default options and with either optimiser, learns, and gives equal
 * bits however its clients are listed, however many work at a time, and when it was stopped in between.
 */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { evaluate } from '../../src/evaluation/evaluate.js'
import type { Algorithm } from '../../src/federated/algorithms/algorithm.js'
import { trainAndSend } from '../../src/federated/algorithms/defaults.js'
import { algorithms } from '../../src/federated/algorithms/index.js'
import { type SimulateOptions, simulate } from '../../src/federated/index.js'
import { loadModel } from '../../src/model/load.js'
import { goldenFolder } from '../support/golden-model.js'
import { filesOf, linesOf } from '../support/run-folder.js'
import { bytesOf, temporaryFolder, tokenRows } from '../support/train.js'
import { lora, nameless, timeless } from './support/federation.js'

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
const root = temporaryFolder('algorithms')
t.teardown(() => {
  model.dispose()
  rmSync(root, { recursive: true })
})

const clients = await Promise.all(
  ['ash', 'birch', 'cedar', 'elm'].map(async (name, i) => ({ name, train: await tokenRows(4 + i, 263, 17 * i) })),
)

function options(name: string, optimizer: 'sgd' | 'adamw', variation: Partial<SimulateOptions> = {}): SimulateOptions {
  const learningRate = optimizer === 'sgd' ? 0.1 : 1e-2
  return {
    model,
    adapter: lora,
    algorithm: name,
    clients,
    rounds: 2,
    cohort: 3,
    local: { steps: 2, batchSize: 2, learningRate, optimizer },
    seed: 5,
    ...variation,
  }
}

/** The bits of an adapter that a federation gives, which is disposed. */
async function bits(given: SimulateOptions): Promise<Buffer> {
  const { adapter } = await simulate(given)
  using _ = adapter
  return bytesOf(adapter.vector())
}

const events = (folder: string) => linesOf(folder).map((event) => nameless(timeless(event)))

for (const name of Object.keys(algorithms)) {
  for (const optimizer of ['sgd', 'adamw'] as const) {
    t.test(`${name}, ${optimizer}`, async (t) => {
      const folder = join(root, `${name}-${optimizer}`)
      const whole = await bits(options(name, optimizer, { outputDir: folder }))
      using initial = model.createAdapter(lora)
      t.notOk(whole.equals(bytesOf(initial.vector())), 'it learns')

      const stopped = `${folder}-stopped`
      const again = { clients: clients.toReversed(), concurrency: 3 }
      const controller = new AbortController()
      const run = simulate(options(name, optimizer, { ...again, outputDir: stopped, signal: controller.signal }))
      await t.rejects(
        (async () => {
          for await (const event of run) if (event.type === 'checkpoint' && event.round === 1) controller.abort()
        })(),
        { name: 'AbortError' },
      )
      const resumed = await bits(options(name, optimizer, { ...again, resumeFrom: stopped }))
      t.ok(resumed.equals(whole), 'turned round, three at a time, stopped after a round and resumed: the same bits')
      t.same(filesOf(stopped), filesOf(folder), 'and the same files: the server, what clients keep, adapters')
      t.same(events(stopped), events(folder), 'and the same events')
    })
  }
}

t.test('fedswa: the mean of the models is what is given back, saved and evaluated', async (t) => {
  const folder = join(root, 'swa')
  const data = await tokenRows(4, 263, 9)
  const given = options('fedswa', 'sgd', { rounds: 4, outputDir: folder, evaluate: { data } })
  const { adapter, evaluation } = await simulate(given)
  using _ = adapter
  const stored = (name: string) => {
    const bytes = readFileSync(join(folder, 'checkpoints', 'round-4', `${name}.f32`))
    return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength))
  }
  t.ok(bytesOf(adapter.vector()).equals(bytesOf(stored('average'))))
  t.notOk(bytesOf(adapter.vector()).equals(bytesOf(stored('adapter'))), 'canary: the last model is another')
  t.same(evaluation, await evaluate(adapter, data))
  using saved = await model.loadAdapter(join(folder, 'adapter'))
  t.ok(bytesOf(saved.vector()).equals(bytesOf(adapter.vector())))
  const before = await simulate(options('fedavg', 'sgd', { rounds: 4 }))
  using last = before.adapter
  t.ok(bytesOf(last.vector()).equals(bytesOf(stored('adapter'))), 'which clients went on from')
})

t.test('canary: another seed is another run, whatever the algorithm', async (t) => {
  const whole = await bits(options('fedavg', 'sgd'))
  t.notOk(whole.equals(await bits(options('fedavg', 'sgd', { seed: 6 }))))
  t.ok(whole.equals(await bits(options('fedit', 'sgd'))), 'fedit is fedavg')
})

t.test('a record that keeps what it does not name is refused', async (t) => {
  const forgetful: Algorithm = {
    name: 'forgetful',
    about: 'keeps a vector without saying so',
    source: '',
    work: async (kit) => ({ ...(await trainAndSend(kit)), keep: { memory: kit.given.adapter! } }),
  }
  const refused = { code: 'E_CONFIG', message: /forgetful: a client keeps 'memory'.*keeps: \['memory'\]/ }
  await t.rejects(bits({ ...options('fedavg', 'sgd'), algorithm: forgetful }), refused)
  await bits({ ...options('fedavg', 'sgd'), algorithm: { ...forgetful, keeps: ['memory'] } })
  t.pass('and taken when it does')
})
