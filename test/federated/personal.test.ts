/** Algorithms with adapters of their own in a federation over a model: laws that hold to the bit. */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { ClientData, FederationEvent, RoundEvent, SimulateOptions } from '../../src/federated/index.js'
import { simulate } from '../../src/federated/index.js'
import { deriveSeed, streamOf } from '../../src/federated/protocol/random.js'
import { loadModel } from '../../src/model/load.js'
import { train } from '../../src/training/train.js'
import { goldenFolder } from '../support/golden-model.js'
import { bytesOf, temporaryFolder, tokenRows } from '../support/train.js'
import { lora } from './support/federation.js'

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
const root = temporaryFolder('personal')
t.teardown(() => {
  model.dispose()
  rmSync(root, { recursive: true })
})

const clients: ClientData[] = await Promise.all(
  ['a', 'b', 'c'].map(async (name, i) => ({
    name,
    train: await tokenRows(4 + i, 263, 17 * i),
    test: await tokenRows(2, 263, 90 + i),
  })),
)
const local = { steps: 2, batchSize: 2, learningRate: 1e-2 }
/** Of one scale of steps. */
const rates = { sgd: 0.3, adamw: 1e-2 }
let runs = 0

type Ran = Awaited<ReturnType<typeof run>>

async function run(options: Partial<SimulateOptions>) {
  const folder = join(root, `run-${runs++}`)
  const events: FederationEvent[] = []
  const running = simulate({ model, adapter: lora, clients, rounds: 3, local, seed: 5, outputDir: folder, ...options })
  for await (const event of running) events.push(event)
  using adapter = (await running).adapter
  const rounds = events.filter((event): event is RoundEvent => event.type === 'round')
  return { vector: adapter.vector(), rounds, folder }
}

/** The client's own adapter, tensor by tensor. */
async function own({ folder }: Ran, name: string): Promise<Map<string, Float32Array>> {
  using adapter = await model.loadAdapter(join(folder, 'clients', name, 'adapter'))
  return new Map([...adapter.tensors()].map(([tensor, { data }]) => [tensor, data]))
}
const fileOf = ({ folder }: Ran, name: string) =>
  readFileSync(join(folder, 'clients', name, 'adapter', 'adapter_model.safetensors'))
const equal = (a: Float32Array, b: Float32Array) => bytesOf(a).equals(bytesOf(b))

for (const optimizer of ['sgd', 'adamw'] as const) {
  for (const algorithm of ['ditto', 'pfedme', 'fedrep', 'fedsa']) {
    t.test(
      `${algorithm} by ${optimizer}, options as they are: everybody has an adapter of its own, whatever the concurrency`,
      async (t) => {
        const recipe = { ...local, optimizer, learningRate: rates[optimizer] }
        const one = await run({ algorithm, local: recipe })
        const three = await run({ algorithm, local: recipe, concurrency: 3 })
        t.ok(equal(one.vector, three.vector))
        for (const { name } of clients) t.ok(fileOf(one, name).equals(fileOf(three, name)))
        t.notOk(fileOf(one, 'a').equals(fileOf(one, 'b')))
        t.ok(one.rounds.at(-1)!.loss! < one.rounds[0]!.loss!, 'something is learnt')
      },
    )
  }

  t.test(
    `ditto by ${optimizer}: the shared adapter is FedAvg’s to the bit, the own one with λ = 0 that of training alone`,
    async (t) => {
      const recipe = { ...local, optimizer }
      const plain = await run({ local: recipe })
      const free = await run({ local: recipe, algorithm: { name: 'ditto', lambda: 0 } })
      const held = await run({ local: recipe, algorithm: { name: 'ditto', lambda: 1 } })
      t.ok(equal(free.vector, plain.vector))
      t.ok(equal(held.vector, plain.vector))
      for (const { name, train: rows } of clients) {
        using alone = model.createAdapter(lora)
        for (const round of [1, 2, 3]) {
          const seed = deriveSeed(5, 'training', round, streamOf(JSON.stringify([name, 'personal'])))
          const { steps: maxSteps, ...rest } = recipe
          await train(alone, rows, { ...rest, maxSteps, seed, schedule: 'constant' })
        }
        const mine = await own(free, name)
        for (const [tensor, { data }] of alone.tensors()) t.ok(equal(mine.get(tensor)!, data), `${name}: ${tensor}`)
        t.notOk(fileOf(free, name).equals(fileOf(held, name)), 'canary: λ = 1 is another')
      }
    },
  )
}

t.test('fedsa: half of the bytes travel; every client has the server’s A and a B of its own', async (t) => {
  const fedsa = await run({ algorithm: 'fedsa' })
  const plain = await run({})
  using layout = model.createAdapter(lora)
  const parts = layout.layout.map(({ name, length }) => [name.includes('lora_A') ? 'A' : 'B', length] as const)
  const share = parts.reduce((sum, [part, length]) => sum + (part === 'A' ? length : 0), 0) / layout.length
  for (const [i, round] of fedsa.rounds.entries()) {
    t.equal(round.bytesUpRaw, Math.round(share * plain.rounds[i]!.bytesUpRaw))
    t.equal(round.bytesDownRaw, Math.round(share * plain.rounds[i]!.bytesDownRaw))
  }
  const [a, b] = [await own(fedsa, 'a'), await own(fedsa, 'b')]
  layout.setVector(fedsa.vector)
  for (const [name, { data }] of layout.tensors()) {
    if (name.includes('lora_A')) t.ok(equal(a.get(name)!, data) && equal(b.get(name)!, data), `${name} is the server’s`)
    else t.ok(!equal(a.get(name)!, b.get(name)!) && data.every((value) => value === 0), `${name} is each one’s own`)
  }
})

t.test('fedrep: a head never travels', async (t) => {
  const heads = ['layers.1', 'v_proj.lora_B']
  const algorithm = { name: 'fedrep', local: heads }
  const isHead = (name: string) => name.includes('layers.1.') || name.includes('v_proj.lora_B')
  const before = await run({ algorithm })
  using layout = model.createAdapter(lora)
  const initial = layout.tensors()
  layout.setVector(before.vector)
  for (const [name, { data }] of layout.tensors()) {
    t.equal(equal(data, initial.get(name)!.data), isHead(name), `the server’s ${name}`)
  }
  const [a, b] = [await own(before, 'a'), await own(before, 'b')]
  for (const [name, values] of a) {
    t.equal(equal(values, b.get(name)!), !isHead(name), `${name} of two clients`)
    if (!isHead(name)) t.ok(equal(values, layout.tensors().get(name)!.data), `${name} is the server’s`)
  }
  const travelling = layout.layout.reduce((sum, { name, length }) => sum + (isHead(name) ? 0 : length), 0)
  for (const round of before.rounds) t.equal(round.bytesUpRaw, 3 * 4 * travelling)
})
