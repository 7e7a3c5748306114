/** Mixtures of adapters in a federation over a model: how they begin, what is trained, what is measured. */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { evaluate } from '../../src/evaluation/evaluate.js'
import type { Algorithm } from '../../src/federated/algorithms/algorithm.js'
import { fedem } from '../../src/federated/algorithms/fedem.js'
import type { FederationEvaluationEvent } from '../../src/federated/events.js'
import type { ClientData, FederationEvent, RoundEvent, SimulateOptions } from '../../src/federated/index.js'
import { simulate } from '../../src/federated/index.js'
import { partOf, spaceOf } from '../../src/federated/protocol/space.js'
import { evaluateMixture } from '../../src/federated/simulate/mixture.js'
import { adapterLayers } from '../../src/model/adapter-options.js'
import { loadModel } from '../../src/model/load.js'
import { goldenFolder } from '../support/golden-model.js'
import { bytesOf, temporaryFolder, tokenRows } from '../support/train.js'
import { lora } from './support/federation.js'

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
const adapter = model.createAdapter(lora)
const root = temporaryFolder('fedem')
t.teardown(() => {
  adapter.dispose()
  model.dispose()
  rmSync(root, { recursive: true })
})
const equal = (a: Float32Array, b: Float32Array) => bytesOf(a).equals(bytesOf(b))

const space = spaceOf(adapter.layout, adapterLayers(adapter.config, adapter.targets))
const clients: ClientData[] = await Promise.all(
  ['a', 'b', 'c'].map(async (name, i) => ({
    name,
    train: await tokenRows(4 + i, 263, 17 * i),
    test: await tokenRows(2, 263, 90 + i),
  })),
)
let runs = 0

async function run(options: Partial<SimulateOptions>) {
  const folder = join(root, `run-${runs++}`)
  const events: FederationEvent[] = []
  const local = { steps: 2, batchSize: 2, learningRate: 1e-2 }
  const running = simulate({ model, adapter: lora, clients, rounds: 3, local, seed: 5, outputDir: folder, ...options })
  for await (const event of running) events.push(event)
  const result = await running
  using trained = result.adapter
  const rounds = events.filter((event): event is RoundEvent => event.type === 'round')
  const evaluations = events.filter((event): event is FederationEvaluationEvent => event.type === 'evaluation')
  const losses: number[] = [] // of the global adapter
  for (const { test } of options.evaluate ? clients : []) losses.push((await evaluate(trained, test!)).loss)
  return { vector: trained.vector(), rounds, evaluations, losses, folder }
}

t.test(
  'components begin as the same function and as different points; a trained adapter stays what it is',
  async (t) => {
    const start = adapter.vector()
    const { vectors } = fedem.state!({ space, seed: 1, adapter: start }, { components: 3 })
    t.same(Object.keys(vectors!), ['component1', 'component2'])
    const held = await tokenRows(3, 263, 9)
    using other = model.createAdapter(lora)
    const { loss } = await evaluate(adapter, held)
    const sorted = (values: Float32Array) => [...values].sort((a, b) => a - b)
    for (const values of Object.values(vectors!)) {
      other.setVector(values)
      t.equal((await evaluate(other, held)).loss, loss)
      t.notOk(equal(values, start))
      t.same(sorted(values), sorted(start), 'as random as the first')
    }
    t.notOk(equal(vectors!.component1!, vectors!.component2!))
    const { A } = space.modules[0]!
    const inputs = space.modules[0]!.in
    const places = Math.floor(inputs / 3)
    t.equal(vectors!.component1![A.offset + inputs + places], start[A.offset + inputs], 'turned within its row')
    t.equal(vectors!.component1![A.offset + inputs], start[A.offset + 2 * inputs - places])
    const trained = start.map((value, i) => (partOf(space, 'lora_B').some(([b, e]) => b <= i && i < e) ? 0.01 : value))
    t.ok(equal(fedem.state!({ space, seed: 1, adapter: trained }, { components: 2 }).vectors!.component1!, trained))
  },
)

t.test('a client that has one component alone trains it as FedAvg does, and no other', async (t) => {
  const alone: Algorithm = {
    ...fedem,
    options: undefined,
    work: async (kit) => {
      const sent = await fedem.work!({ ...kit, own: { mixture: Float32Array.of(1, 0) } }, { components: 2 })
      t.ok(sent.vectors.component1!.every((value) => value === 0))
      t.same([...sent.keep!.mixture!], [1, 0])
      return sent
    },
    state: (start) => fedem.state!(start, { components: 2 }),
    finish: async (closing) => await fedem.finish!(closing, { components: 2 }),
    personal: ({ given }) => given.adapter!,
    mixture: undefined,
  } as Algorithm
  const plain = await run({})
  const one = await run({ algorithm: alone })
  t.ok(equal(one.vector, plain.vector), 'to the bit')
  t.same(
    one.rounds.map(({ loss }) => loss),
    plain.rounds.map(({ loss }) => loss),
  )
  const both = await run({ algorithm: 'fedem' })
  t.notOk(equal(both.vector, plain.vector), 'canary: of a mixture each component learns less')
})

for (const optimizer of ['sgd', 'adamw'] as const) {
  t.test(
    `by ${optimizer}, options as they are: each client its own mixture, M adapters travel, no bit depends on concurrency`,
    async (t) => {
      const local = { steps: 2, batchSize: 2, learningRate: optimizer === 'sgd' ? 0.3 : 1e-2, optimizer }
      const one = await run({ algorithm: 'fedem', local, evaluate: { of: 'both' } })
      const three = await run({ algorithm: 'fedem', local, evaluate: { of: 'both' }, concurrency: 3 })
      t.ok(equal(one.vector, three.vector))
      t.same(one.evaluations, three.evaluations)
      for (const round of one.rounds) t.equal(round.bytesUpRaw, 3 * 3 * 4 * adapter.length)
      t.ok(one.rounds.at(-1)!.loss! < one.rounds[0]!.loss!, 'something is learnt')
      const [global, personal] = one.evaluations
      t.same(
        global!.clients!.each.map(({ loss }) => loss),
        one.losses,
        'the global adapter alone',
      )
      t.notSame(global!.clients!.each, personal!.clients!.each, 'mixtures are measured')
      const vectors = ['adapter', 'component1', 'component2'].map((name) =>
        readFileSync(join(one.folder, 'checkpoints', 'round-3', `${name}.f32`)),
      )
      t.notOk(vectors[0]!.equals(vectors[1]!) || vectors[1]!.equals(vectors[2]!))
    },
  )
}

t.test('the loss of a mixture is that of mixed probabilities, row by row', async (t) => {
  const data = await tokenRows(5, 263, 7)
  const adapters = [1, 2, 3].map((seed) => {
    using one = model.createAdapter({ ...lora, seed })
    return one.vector().map((value, i) => value + 0.05 * Math.sin(seed * i))
  })
  using slot = model.createAdapter(lora)
  const { signal } = new AbortController()
  const losses: number[][] = []
  let tokens = 0
  for (let row = 0; row < data.length; row++) {
    const own: number[] = []
    for (const values of adapters) {
      slot.setVector(values)
      const result = await evaluate(slot, data.subset([row]))
      own.push(result.loss * result.tokens)
    }
    tokens += data.facts(row).supervised
    losses.push(own)
  }
  const by = (weights: number[]) =>
    losses.reduce((sum, own) => {
      const least = Math.min(...own)
      return sum + least - Math.log(own.reduce((all, loss, m) => all + weights[m]! * Math.exp(least - loss), 0))
    }, 0) / tokens
  const weights = [0.2, 0.5, 0.3]
  const mixed = await evaluateMixture(slot, { weights, adapters }, data, signal)
  const far = (found: number, wanted: number) => !(Math.abs(found - wanted) <= 1e-6 * wanted)
  t.notOk(far(mixed.loss, by(weights)), 'float32 sums of a row in batches of other shapes')
  t.equal(mixed.perplexity, Math.exp(mixed.loss))
  t.equal(mixed.tokens, tokens)
  const mean = losses.reduce((sum, own) => sum + own.reduce((all, loss, m) => all + weights[m]! * loss, 0), 0) / tokens
  t.ok(far(mixed.loss, mean), 'canary: the mean of the losses is another')
  slot.setVector(adapters[1]!)
  const heaviest = await evaluate(slot, data)
  t.equal(mixed.tokenAccuracy, heaviest.tokenAccuracy)
  const only = await evaluateMixture(slot, { weights: [0, 1, 0], adapters }, data, signal)
  t.notOk(far(only.loss, heaviest.loss), 'one of weight 1 is itself')
})
