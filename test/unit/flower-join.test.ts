/** Joining with a model: names and shapes as FlowerTune sends them, training by the server's instructions, refusals that the server is told. */
import t, { type Test } from 'tap'
import { evaluate } from '../../src/evaluation/evaluate.js'
import { deriveSeed } from '../../src/federated/protocol/random.js'
import { joinFlower } from '../../src/flower/join.js'
import type { FlowerArray } from '../../src/flower/objects/npy.js'
import type { RecordValue } from '../../src/flower/objects/values.js'
import type { FlowerJoinOptions } from '../../src/flower/work/options.js'
import type { Adapter } from '../../src/model/adapter.js'
import { loadModel } from '../../src/model/load.js'
import { train } from '../../src/training/train.js'
import { FleetServer, type Received } from '../support/flower/fleet-server.js'
import { makeSite, quick } from '../support/flower/node.js'
import { goldenFolder } from '../support/golden-model.js'
import { tokenRows } from '../support/train.js'

const model = await loadModel(goldenFolder('qwen3'), { threads: 1 })
t.teardown(() => model.dispose())
const data = await tokenRows(6, 263)
const held = await tokenRows(3, 263, 9)
const options = { rank: 4, seed: 3 }
const local = { maxSteps: 2, batchSize: 3, learningRate: 1e-2, schedule: 'constant', seed: 5 } as const

/** The factors of an adapter as a server has them: in an order of its own, with the adapter's name or without. */
function sent(adapter: Adapter, spelling = (name: string) => name): Map<string, FlowerArray> {
  const entries = [...adapter.tensors()].map(([name, array]) => [spelling(name), array] as const)
  return new Map(entries.reverse())
}

const withDefault = (name: string) => name.replace('.weight', '.default.weight')

interface Asked {
  kind: string
  arrays: ReadonlyMap<string, FlowerArray>
  config?: Record<string, RecordValue>
}

/** What a client answers to these instructions. */
async function ask(t: Test, asked: readonly Asked[], more: Partial<FlowerJoinOptions> = {}): Promise<Received[]> {
  const server = await FleetServer.start()
  const site = makeSite(t.testdir())
  const own = { model, adapter: options, data, evaluation: held, local }
  const run = joinFlower({ url: server.url, ...site, ...own, idle: 0.1, pace: quick, ...more } as FlowerJoinOptions)
  for await (const event of run.events()) {
    if (event.type !== 'joined') continue
    for (const { kind, arrays, config } of asked) server.instruct(BigInt(event.nodeId), kind, arrays, config)
  }
  await run
  await server.close()
  t.strictSame(server.faults, [])
  return server.replies
}

const metricsOf = (reply: Received) => Object.fromEntries(reply.content!.metrics.get('metrics')!)
const arraysOf = (reply: Received) => reply.content!.arrays.get('arrays')!

for (const [what, spelling] of [
  ['without the adapter’s name', (name: string) => name],
  ['with it', withDefault],
] as const) {
  t.test(`a round by names ${what}: the bits of train(), in the order in which the arrays came`, async (t) => {
    using adapter = model.createAdapter({ ...options, seed: 11 })
    const arrays = sent(adapter, spelling)
    t.match([...arrays.keys()][0], /^base_model\.model\.model\.layers\..*\.lora_[AB](\.default)?\.weight$/)
    const config = { 'server-round': 3n, lr: 0.5 }
    const [trained, judged] = await ask(t, [
      { kind: 'train', arrays, config },
      { kind: 'evaluate', arrays, config },
    ])
    const { loss } = await evaluate(adapter, held)
    const { meanLoss } = await train(adapter, data, { ...local, seed: deriveSeed(5, 'training', 3) })
    t.strictSame(arraysOf(trained!), sent(adapter, spelling))
    t.strictSame(metricsOf(trained!), { train_loss: meanLoss, 'num-examples': 6n })
    t.strictSame(metricsOf(judged!), { eval_loss: loss, 'num-examples': 3n })
    t.equal(judged!.content!.arrays.size, 0)
  })
}

t.test('what the server sets, names of metrics, rows of one’s own to evaluate on', async (t) => {
  using adapter = model.createAdapter({ ...options, seed: 11 })
  const arrays = sent(adapter)
  const more = { follow: { learningRate: 'lr', maxSteps: 'steps' }, metrics: { train: 'loss' }, evaluation: undefined }
  const config = { 'server-round': 1n, lr: 0.001, steps: 3n }
  const asked = ['train', 'evaluate'].map((kind) => ({ kind, arrays, config }))
  const [trained, judged, silent] = await ask(t, [...asked, { kind: 'train', arrays, config: { lr: 0.1 } }], more)
  const { loss } = await evaluate(adapter, data)
  t.strictSame(metricsOf(judged!), { eval_loss: loss, 'num-examples': 6n })
  const seed = deriveSeed(5, 'training', 1)
  const { meanLoss } = await train(adapter, data, { ...local, learningRate: 0.001, maxSteps: 3, seed })
  t.strictSame(metricsOf(trained!), { loss: meanLoss, 'num-examples': 6n })
  t.match(silent!.error?.reason, /^E_CONFIG: .*follow\.maxSteps: .*nothing in 'steps'/)
})

t.test(
  'arrays that do not fit are refused by their codes; the server is told, and the next round counts',
  async (t) => {
    using adapter = model.createAdapter({ ...options, seed: 11 })
    const right = sent(adapter)
    const [name, { shape, data: values }] = [...right][0]!
    const changed = (array: FlowerArray | undefined, called = name) => {
      const arrays = new Map(right)
      arrays.delete(name)
      if (array !== undefined) arrays.set(called, array)
      return arrays
    }
    using wider = model.createAdapter({ rank: 8 })
    const nan = Float32Array.from(values as Float32Array)
    nan[1] = Number.NaN
    const wrong: [ReadonlyMap<string, FlowerArray>, RegExp][] = [
      [new Map(), /^E_MISSING: .*rank 4 on \d+ layers/],
      [changed(undefined), /^E_MISSING: .*1 of \d+ tensors are missing/],
      [changed({ shape, data: values }, `${name}.more`), /^E_MISSING/],
      [new Map([...right, ['more', { shape, data: values }]]), /^E_SHAPE: .*more/],
      [new Map([...right, [withDefault(name), { shape, data: values }]]), /^E_SHAPE: .*comes twice/],
      [changed({ shape: [...shape].reverse(), data: values }), /^E_SHAPE: .*expected \[/],
      [sent(wider), /^E_SHAPE: .*rank and targetModules must be the server's/],
      [
        changed({ shape, data: Float64Array.from(values as Float32Array) }),
        /^E_DTYPE: .*Float64Array, expected float32/,
      ],
      [changed({ shape, data: nan }), /^E_NONFINITE: .*element 1/],
      [new Map([...right].map(([, array], i) => [String(i), array])), /^E_MISSING/],
    ]
    const asked = wrong.map(([arrays]) => ({ kind: 'train', arrays }))
    const replies = await ask(t, [...asked, { kind: 'query', arrays: right }, { kind: 'train', arrays: right }])
    for (const [at, [, reason]] of wrong.entries()) {
      t.match(replies[at]?.error, { code: 2n, reason }, String(reason))
    }
    t.match(replies.at(-2)!.error, { reason: /^E_UNSUPPORTED: .*'query'/ })
    t.equal(arraysOf(replies.at(-1)!).size, right.size)
  },
)

t.test('options that are none are refused before anything is asked', async (t) => {
  const site = makeSite(t.testdir())
  const base = { url: 'http://127.0.0.1:1', ...site, model, data, pace: quick }
  using other = await loadModel(goldenFolder('llama'), { threads: 1 })
  using foreign = other.createAdapter({ rank: 2 })
  const wrong: [object, string][] = [
    [{ ...base, model: undefined }, 'E_CONFIG'],
    [{ ...base, data: [] }, 'E_CONFIG'],
    [{ ...base, local: { privacy: { clip: 1, noiseMultiplier: 1 } } }, 'E_CONFIG'],
    [{ ...base, local: { outputDir: 'x' } }, 'E_CONFIG'],
    [{ ...base, local: { epochs: 1, maxSteps: 1 } }, 'E_CONFIG'],
    [{ ...base, follow: { seed: 'x' } }, 'E_CONFIG'],
    [{ ...base, adapter: foreign }, 'E_ARGUMENT'],
    [{ ...base, adapter: { rank: 0 } }, 'E_CONFIG'],
    [{ ...base, work: () => {} }, 'E_CONFIG'],
  ]
  for (const [options, code] of wrong) await t.rejects(joinFlower(options as FlowerJoinOptions), { code })
})

t.test('a canary: other values than the server’s are seen', async (t) => {
  using adapter = model.createAdapter({ ...options, seed: 11 })
  const [reply] = await ask(t, [{ kind: 'evaluate', arrays: sent(adapter) }])
  using another = model.createAdapter({ ...options, seed: 11 })
  const tensors = another.tensors()
  for (const { data } of tensors.values()) data[0]! += 1
  another.load(tensors)
  t.not(metricsOf(reply!).eval_loss, (await evaluate(another, held)).loss)
})
