/** Federations by forward passes alone: what travels, and that the server's model is the mean of the clients'. */
import t from 'tap'
import { addDirections } from '../../src/aggregation/normals.js'
import { fedkseed, poolSeed } from '../../src/federated/algorithms/fedkseed.js'
import { chooseAlgorithm } from '../../src/federated/algorithms/index.js'
import { downloadSchema } from '../../src/federated/download-options.js'
import type { RoundEvent } from '../../src/federated/events.js'
import { type SimulateOptions, simulate } from '../../src/federated/index.js'
import type { Space } from '../../src/federated/protocol/space.js'
import { Server } from '../../src/federated/server/server.js'
import { serverOptimizerSchema } from '../../src/federated/server-step/step.js'
import { encodeVector } from '../../src/federated/vector-message.js'
import { loadModel } from '../../src/model/load.js'
import { goldenFolder, relativeError } from '../support/golden-model.js'
import { bytesOf, tokenRows } from '../support/train.js'
import { lora } from './support/federation.js'

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
t.teardown(() => model.dispose())

const length = 40
const space: Space = { length, tensors: [], modules: [] }
const initial = Float32Array.from({ length }, (_, i) => Math.sin(i))

function server(seeds: number): Server {
  const made = new Server({
    chosen: chooseAlgorithm({ name: 'fedkseed', seeds, epsilon: 1e-3 }),
    config: {
      rounds: 9,
      seed: 3,
      serverOptimizer: serverOptimizerSchema.parse({}),
      download: downloadSchema.parse({}),
    },
    space,
    initial,
    population: 2,
  })
  t.teardown(() => made.dispose())
  return made
}

/** The client's part of the record over slopes that are given; gives what it sends and where it ends. */
async function client(name: string, slopes: readonly number[], from: Float32Array, round: number, seeds: number) {
  const learningRate = 0.5
  const values = from.slice()
  const sent = await fedkseed.work!(
    {
      ...{ client: name, round, rounds: 9, seed: 3, space, learningRate, rows: 1, initial, numbers: {}, own: {} },
      given: { adapter: from },
      travels: {},
      async zeroth({ directionOf }: { directionOf(step: number): number }) {
        for (const [step, slope] of slopes.entries()) {
          await addDirections(values, [directionOf(step + 1)], [-learningRate * slope])
        }
        const steps = slopes.length
        return { values, loss: 1, steps, updates: steps, tokens: 1, projected: slopes }
      },
    } as never,
    { seeds, epsilon: 1e-3 },
  )
  return { values, coefficients: sent.vectors.coefficients! }
}

t.test(
  'the server’s model is the weighted mean of the clients’, rebuilt from K numbers, round after round',
  async (t) => {
    for (const seeds of [1, 5, 64]) {
      const federation = server(seeds)
      for (const round of [1, 2]) {
        await federation.begin()
        const from = federation.adapter.slice()
        const parts = [
          await client('a', [0.5, -1, 2], from, round, seeds),
          await client('b', [1, 0.25], from, round, seeds),
        ]
        for (const [i, { coefficients }] of parts.entries()) {
          const counts = { rows: i === 0 ? 1 : 3, steps: 1, tokens: 1, loss: 1, numbers: {} }
          const vectors = { coefficients: encodeVector(coefficients) }
          await federation.accept({ version: 1, round, client: 'ab'[i]!, ...counts, vectors }, space)
        }
        await federation.finish(round, 0.5)
        const mean = parts[0]!.values.map((value, i) => (value + 3 * parts[1]!.values[i]!) / 4)
        // Two float32 roundings a step and one a coefficient, of numbers up to 4: some 2^-21 of the whole.
        const error = relativeError(federation.adapter, mean)
        t.ok(error <= 2 ** -19, `${seeds} seeds, round ${round}: ${error}`)
        t.notOk(relativeError(federation.adapter, parts[0]!.values) <= 2 ** -19, 'canary: it is not one of them')
      }
    }
  },
)

t.test(
  'a model is the initial one and every direction times what it sums to, which may be −1 or nothing',
  async (t) => {
    const coefficients = Float32Array.of(0.5, -1, 0, 1)
    const given = { coefficients }
    const got = await fedkseed.rebuild!({ initial, given, seed: 3 } as never, { seeds: 4, epsilon: 1e-3 })
    const want = initial.slice()
    const used = [0, 1, 3]
    await addDirections(
      want,
      used.map((j) => poolSeed(3, j)),
      used.map((j) => coefficients[j]!),
    )
    t.same(got, want)
  },
)

t.test('the pool is the same for everybody and its directions differ', async (t) => {
  t.equal(poolSeed(3, 7), poolSeed(3, 7))
  t.equal(new Set(Array.from({ length: 4096 }, (_, j) => poolSeed(3, j))).size, 4096)
  t.not(poolSeed(3, 7), poolSeed(4, 7))
})

async function run(options: Partial<SimulateOptions>) {
  const clients = await Promise.all(
    ['a', 'b'].map(async (name, i) => ({ name, train: await tokenRows(6, 263, 11 * i) })),
  )
  const events: RoundEvent[] = []
  const running = simulate({
    model,
    adapter: lora,
    clients,
    rounds: 2,
    local: { steps: 3, batchSize: 2, learningRate: 1e-4 },
    ...options,
  })
  for await (const event of running) if (event.type === 'round') events.push(event)
  using adapter = (await running).adapter
  return { events, vector: adapter.vector() }
}

t.test('FedKSeed: 18 kilobytes up and down, whatever the rank', async (t) => {
  const messages: number[] = []
  for (const rank of [2, 16]) {
    const { events } = await run({ algorithm: 'fedkseed', adapter: { rank, seed: 1 } })
    for (const { clients, bytesDown } of events) {
      for (const { bytesUp } of clients) {
        t.ok(bytesUp > 0 && bytesUp <= 18_000, `${bytesUp} bytes up`)
        messages.push(bytesUp)
      }
      t.ok(bytesDown <= 2 * 18_000, `${bytesDown} bytes down for two`)
    }
  }
  t.equal(new Set(messages).size, 1)
})

t.test('both move the adapter, and no optimiser of local plays a part', async (t) => {
  using untouched = model.createAdapter(lora)
  for (const algorithm of ['fedkseed', 'fedmezo']) {
    const options = { steps: 3, batchSize: 2, learningRate: 1e-4 }
    const sgd = await run({ algorithm, local: { ...options, optimizer: 'sgd' } })
    const adamw = await run({ algorithm, local: { ...options, optimizer: 'adamw' } })
    t.ok(bytesOf(sgd.vector).equals(bytesOf(adamw.vector)), algorithm)
    t.notOk(bytesOf(sgd.vector).equals(bytesOf(untouched.vector())), 'it moved')
  }
})

t.test('FedMeZO goes downhill on average over many small steps', async (t) => {
  const { events } = await run({
    algorithm: { name: 'fedmezo', epsilon: 1e-2 },
    rounds: 12,
    local: { steps: 10, batchSize: 6, learningRate: 2e-3 },
  })
  t.ok(events.at(-1)!.loss! < events[0]!.loss!, `${events[0]!.loss} → ${events.at(-1)!.loss}`)
})
