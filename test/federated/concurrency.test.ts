/** Clients in lockstep: whatever they differ in, `concurrency` changes no bit and no event; what it costs is in the plan. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { ClientEvent, FederationEvent, FederationResult } from '../../src/federated/events.js'
import { type SimulateOptions, simulate } from '../../src/federated/index.js'
import { loadModel } from '../../src/model/load.js'
import type { Model } from '../../src/model/model.js'
import { estimate } from '../../src/training/estimate.js'
import { goldenFolder } from '../support/golden-model.js'
import { filesOf } from '../support/run-folder.js'
import { bytesOf, temporaryFolder } from '../support/train.js'
import { federation, makeClients, timeless, type Variation } from './support/federation.js'

const model = await loadModel(goldenFolder('qwen3'), { quantization: 'nf4', compute: 'bf16', threads: 2 })
const root = temporaryFolder('federation-concurrency')
t.teardown(() => {
  model.dispose()
  rmSync(root, { recursive: true })
})

/** Adapter dropout, accumulation, whole epochs (so that clients of different sizes take different numbers of steps), uploads that lose. */
const varied = {
  adapter: { rank: 4, alpha: 8, dropout: 0.2, seed: 2 },
  rounds: 2,
  cohort: 1,
  absence: 0.1,
  local: { epochs: 1, batchSize: 2, gradientAccumulation: 2, learningRate: 1e-2 },
  upload: { codec: 'int8' },
} satisfies Variation

interface Outcome {
  result: FederationResult
  events: FederationEvent[]
  bits: Buffer
}

async function run(on: Model, variation: Partial<SimulateOptions>): Promise<Outcome> {
  const events: FederationEvent[] = []
  const work = simulate({ ...(await federation(on, varied)), ...variation })
  for await (const event of work) events.push(event)
  const result = await work
  using adapter = result.adapter
  return { result, events, bits: bytesOf(adapter.vector()) }
}

const clientsOf = (events: FederationEvent[]) => events.filter((event): event is ClientEvent => event.type === 'client')
const others = (events: FederationEvent[]) => timeless(events.filter(({ type }) => type !== 'client'))
const byClient = (events: ClientEvent[]) =>
  timeless([...events].sort((a, b) => a.round - b.round || a.client - b.client))

t.test('clients of different sizes, dropout, accumulation: equal bits and reports at any concurrency', async (t) => {
  for (const compute of ['bf16', 'f32'] as const) {
    using here = await loadModel(goldenFolder('qwen3'), { quantization: 'nf4', compute, threads: 2 })
    const expected = await run(here, {})
    t.equal(expected.result.concurrency, 1)
    t.ok(new Set(clientsOf(expected.events).map(({ steps }) => steps)).size > 1, 'they take different numbers of steps')
    for (const concurrency of [2, 4, 6]) {
      const got = await run(here, { concurrency })
      t.equal(got.result.concurrency, concurrency)
      t.ok(got.bits.equals(expected.bits), `${compute}, ${concurrency} at a time`)
      t.same(others(got.events), others(expected.events), 'rounds and evaluations')
      t.same(byClient(clientsOf(got.events)), byClient(clientsOf(expected.events)), 'reports of clients')
    }
  }
  const other = await run(model, { concurrency: 6, adapter: { ...varied.adapter, dropout: 0.1 } })
  t.notOk(other.bits.equals((await run(model, {})).bits), 'canary: another dropout is seen')
})

t.test('seconds are those of the machine: shares of shared passes, no more than the round took', async (t) => {
  const { events } = await run(model, { concurrency: 6 })
  const [clients, rounds] = [clientsOf(events), events.filter((event) => event.type === 'round')]
  for (const round of rounds) {
    t.ok(round.seconds.train > 0 && round.seconds.train <= round.seconds.total, 'training within the round')
    t.ok(round.seconds.encode + round.seconds.aggregate <= round.seconds.total, 'encoding too, client after client')
    t.equal(round.tokensPerSecond, round.tokens / round.seconds.train)
    const own = clients.filter((client) => client.round === round.round)
    const sum = own.reduce((total, { tokens, tokensPerSecond }) => total + tokens / tokensPerSecond, 0)
    t.ok(Math.abs(sum - round.seconds.train) < 1e-9 * sum, 'the sum of the clients’ seconds')
  }
})

t.test('clients that end earlier are told of first, and their slot goes to the next', async (t) => {
  const sizes = [2, 40, 2, 2]
  const clients = (await makeClients(4)).map((data, i) =>
    data.subset(Array.from({ length: sizes[i]! }, (_, row) => row % 5)),
  )
  const { events } = await run(model, { clients, concurrency: 2, rounds: 1, absence: 0 })
  t.same(
    clientsOf(events).map(({ client }) => client),
    [0, 2, 3, 1],
  )
})

t.test('a client that diverges stops the run, named; the adapter is as it was', async (t) => {
  using adapter = model.createAdapter(varied.adapter)
  const before = bytesOf(adapter.vector())
  const local = { steps: 5, batchSize: 2, learningRate: 1e30 }
  await t.rejects(run(model, { adapter, local, concurrency: 4 }), {
    code: 'E_NONFINITE',
    message: /round 1, client client-\d/,
  })
  t.ok(before.equals(bytesOf(adapter.vector())))
  adapter.setVector(adapter.vector())
})

t.test('aborted in mid-round and resumed with another concurrency, the run ends in the same bytes', async (t) => {
  const whole = join(root, 'whole')
  await run(model, { outputDir: whole })
  for (const [first, then] of [
    [4, 1],
    [1, 6],
    [6, 2],
  ] as const) {
    const folder = join(root, `${first}-${then}`)
    const controller = new AbortController()
    const work = simulate({
      ...(await federation(model, varied)),
      outputDir: folder,
      concurrency: first,
      signal: controller.signal,
    })
    await t.rejects(
      async () => {
        for await (const event of work) if (event.type === 'client' && event.round === 2) controller.abort()
      },
      { name: 'AbortError' },
    )
    await run(model, { resumeFrom: folder, concurrency: then })
    t.same(filesOf(folder), filesOf(whole), `${first} at a time, then ${then}`)
  }
})

t.test('a memory budget: fewer clients at a time, never other bits', async (t) => {
  using adapter = model.createAdapter(varied.adapter)
  const bytes = adapter.length * 4 * 4
  const generous = await run(model, { concurrency: 6, local: { ...varied.local, memoryBudget: '1 GiB' } })
  t.equal(generous.result.concurrency, 6)
  const expected = await run(model, {})
  t.ok(generous.bits.equals(expected.bits))
  // Between what one client needs and what six need: the plan of the largest micro-batch and of six adapters says where.
  const fewest = new Set<number>()
  let budget = 1
  for (const step of [2 ** 20, 2 ** 16]) {
    while (
      await run(model, { local: { ...varied.local, memoryBudget: budget + step } }).then(
        () => false,
        () => true,
      )
    )
      budget += step
  }
  for (const room of [2 ** 16, 1.5 * bytes, 3 * bytes]) {
    const memoryBudget = budget + 2 ** 16 + room
    const tight = await run(model, { concurrency: 6, local: { ...varied.local, memoryBudget } })
    const reference = await run(model, { local: { ...varied.local, memoryBudget } })
    t.ok(tight.result.concurrency < 6, `${tight.result.concurrency} at a time`)
    t.ok(tight.bits.equals(reference.bits), 'with the budget as without company')
    fewest.add(tight.result.concurrency)
  }
  t.ok(fewest.has(1) && fewest.size > 1, `concurrency follows the budget: ${[...fewest]}`)
})

t.test('estimate() counts adapters at the same time, and the pass that they share', async (t) => {
  const plan = (concurrency: number, maxLength = 64) =>
    estimate({ model: goldenFolder('qwen3'), quantization: 'nf4', concurrency, batchSize: 2, maxLength, threads: 1 })
  const [one, four, many] = [await plan(1), await plan(4), await plan(64)]
  t.equal(four.adapter, 4 * one.adapter)
  t.equal(four.weights, one.weights)
  t.ok(four.saved > 3.9 * one.saved && four.saved < 4.1 * one.saved, 'a pass of 512 tokens')
  t.ok(many.saved > 7.9 * one.saved && many.saved < 8.1 * one.saved, 'a pass of 1,024 tokens, no larger')
  const [long, longer] = [await plan(1, 800), await plan(4, 800)]
  t.equal(longer.saved, long.saved, 'micro-batches that are larger go alone')
  using adapter = model.createAdapter({})
  t.equal(one.trainable, adapter.length)
  await t.rejects(plan(0), { code: 'E_CONFIG' })
  const of = { model: goldenFolder('qwen3'), quantization: 'nf4', batchSize: 2, maxLength: 64, threads: 1 } as const
  const { process: _, ...alone } = await estimate(of)
  t.match(one, alone, 'one adapter unless said otherwise')
  const twice = estimate({ ...of, quantization: 'int8', doubleQuantization: true })
  await t.rejects(twice, { code: 'E_CONFIG', message: /doubleQuantization/ })
})
