/** stepTogether through the seam: the bits of each session are those of its own steps; who may take part; how it ends. */
import t from 'tap'
import { loadModel } from '../../src/model/load.js'
import type { Model } from '../../src/model/model.js'
import type { NativeAdapter, NativeModel, NativeSession, TokenBatch } from '../../src/native/binding.js'
import { goldenFolder } from '../support/golden-model.js'
import { bytesOf } from '../support/train.js'

interface Client {
  adapter: NativeAdapter
  session: NativeSession
  /** Micro-batches of each optimiser step. */
  steps: TokenBatch[][]
  learningRate: number
}

function rows(key: number, lengths: number[], bare = 0.3): TokenBatch {
  const ids = lengths.flatMap((length, row) =>
    Array.from({ length }, (_, i) => 3 + ((key * 37 + row * 11 + i * 5) % 250)),
  )
  const labels = lengths.flatMap((length, row) =>
    Array.from({ length }, (_, i) => (i < length * bare ? -100 : 3 + ((key + row + i) % 250))),
  )
  return { ids: Int32Array.from(ids), labels: Int32Array.from(labels), lengths: Int32Array.from(lengths) }
}

function makeClient(model: NativeModel, key: number, rank: number, dropout: number, steps: TokenBatch[][]): Client {
  const layers = model.linears().map(({ module }) => ({ module, rank, scaling: 2, dropout }))
  const adapter = model.createAdapter(layers, key)
  adapter.write(adapter.read().map((value, i) => value + 0.05 * Math.sin(i + key)))
  const session = adapter.createSession({
    optimizer: { kind: 'adamw', beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.01, momentum: 0 },
    maxGradNorm: key % 2,
    dropoutSeed: key,
    recompute: 'none',
  })
  return { adapter, session, steps, learningRate: key * 1e-3 }
}

/** Resolves when the engine has begun: while JavaScript sleeps, nothing else of this process takes so much of a processor. */
async function engineAtWork(): Promise<void> {
  const before = process.cpuUsage()
  while (process.cpuUsage(before).user < 30_000) await new Promise((resolve) => setTimeout(resolve, 1))
}

/** Ragged rows, several micro-batches, different numbers of steps, ranks and dropouts, a client that has nothing to learn at first. */
function makeClients(model: NativeModel): Client[] {
  return [
    makeClient(model, 1, 4, 0, [[rows(1, [5, 9])], [rows(2, [7])], [rows(3, [3, 2, 1])]]),
    makeClient(model, 2, 16, 0.3, [[rows(4, [30]), rows(5, [2, 8])], [rows(6, [17])]]),
    makeClient(model, 3, 8, 0, [[rows(7, [9], 1)], [rows(8, [21], 0), rows(9, [4])], [rows(10, [40])]]),
  ]
}

/** Everything that a client's training leaves, as text. */
function trace(client: Client, results: unknown[]): string {
  const { step, moment1, moment2 } = client.session.state()
  const bits = [client.adapter.read(), moment1, moment2].map((values) => bytesOf(values).toString('base64'))
  return JSON.stringify([results, step, ...bits])
}

async function alone(clients: Client[]): Promise<string[]> {
  const traces: string[] = []
  for (const client of clients) {
    const results: unknown[] = []
    for (const batches of client.steps) results.push(await client.session.step(batches, client.learningRate))
    traces.push(trace(client, results))
  }
  return traces
}

async function together(model: NativeModel, clients: Client[], mostTokens: number): Promise<string[]> {
  const results: unknown[][] = clients.map(() => [])
  for (let k = 0; k < 3; k++) {
    const present = clients.filter(({ steps }) => k < steps.length)
    const outcomes = await model.stepTogether(
      present.map(({ session, steps, learningRate }) => ({ session, batches: steps[k]!, learningRate })),
      mostTokens,
    )
    for (const [i, outcome] of outcomes.entries()) results[clients.indexOf(present[i]!)]!.push(outcome)
  }
  return clients.map((client, i) => trace(client, results[i]!))
}

for (const quantization of ['none', 'int8', 'nf4'] as const) {
  for (const compute of ['f32', 'bf16'] as const) {
    t.test(`${quantization}, ${compute}: together as alone`, async (t) => {
      using model = await loadModel(goldenFolder('qwen3'), { quantization, compute, threads: 2 })
      const native = model.handle.use('test')
      const expected = await alone(makeClients(native))
      t.same(await together(native, makeClients(native), 4096), expected, 'all in one pass')
      t.same(await together(native, makeClients(native), 25), expected, 'in several passes')
      const changed = makeClients(native)
      changed[1]!.steps[0]![0]!.ids[3]! ^= 1
      const got = await together(native, changed, 4096)
      t.same(
        got.map((one, i) => one === expected[i]),
        [true, false, true],
        'canary: one token of one client is seen in its bits, and in no other’s',
      )
    })
  }
}

async function open(): Promise<{ model: Model; native: NativeModel; clients: Client[] }> {
  const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
  const native = model.handle.use('test')
  return { model, native, clients: makeClients(native) }
}

const step = ({ session, steps, learningRate }: Client) => ({ session, batches: steps[0]!, learningRate })

t.test('one that diverges fails alone', async (t) => {
  const { model, native, clients } = await open()
  using _ = model
  const [, second] = clients
  second!.adapter.write(second!.adapter.read().fill(1e30))
  const before = second!.adapter.read()
  const outcomes = await native.stepTogether(clients.map(step), 4096)
  t.same(
    outcomes.map(({ error }) => error?.code),
    [undefined, 'E_NONFINITE', undefined],
  )
  t.ok(outcomes[0]!.loss > 0)
  t.ok(bytesOf(before).equals(bytesOf(second!.adapter.read())), 'it is as it was')
  t.equal(second!.session.state().step, 0)
  t.equal(clients[0]!.session.state().step, 1)
})

t.test('busy while at work; all or none are taken', async (t) => {
  const { model, native, clients } = await open()
  using _ = model
  const [first, second, third] = clients as [Client, Client, Client]
  const pending = native.stepTogether([first, second].map(step), 4096)
  const busy = { code: 'E_BUSY' }
  t.throws(() => first.adapter.read(), busy)
  await t.rejects(async () => second.session.step(second.steps[0]!, 1e-3), busy)
  await t.rejects(async () => native.stepTogether([third, first].map(step), 4096), busy)
  t.equal(third.session.state().step, 0, 'the one that was free is still free')
  await pending
  t.equal(first.session.state().step, 1)
  await native.stepTogether([third, first].map(step), 4096)
  t.equal(third.adapter.read().length, third.adapter.length)
})

t.test('who may not take part', async (t) => {
  const { model, native, clients } = await open()
  using _ = model
  using other = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
  const foreign = makeClients(other.handle.use('test'))[0]!
  const [first, second] = clients as [Client, Client]
  const refused = async (steps: unknown, message: RegExp, mostTokens: unknown = 64) =>
    await t.rejects(
      async () => native.stepTogether(steps as never, mostTokens as never),
      { code: 'E_ARGUMENT', message },
      String(message),
    )
  await refused([step(first), step(first)], /twice/)
  const rival = first.adapter.createSession({
    optimizer: { kind: 'sgd', beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, momentum: 0 },
    maxGradNorm: 0,
    dropoutSeed: 0,
    recompute: 'none',
  })
  await refused([step(first), { ...step(first), session: rival }], /same adapter/)
  await refused([step(first), step(foreign)], /another model/)
  await refused([{ ...step(first), session: first.adapter }], /a session of this library/)
  await refused([{ ...step(first), batches: [] }], /at least one batch/)
  await refused([{ ...step(first), learningRate: Number.NaN }], /finite/)
  await refused('steps', /array of steps/)
  await refused([step(first)], /tokens/, 0)
  t.same(await native.stepTogether([], 64), [], 'nobody')
  second.session.dispose()
  await t.rejects(async () => native.stepTogether(clients.map(step), 64), { code: 'E_DISPOSED' })
  t.equal(first.session.state().step, 0)
})

/** The first step of each, so many times over that no machine is through with it before the next line. */
const long = (client: Client) => ({
  ...step(client),
  batches: Array.from({ length: 4000 }, () => client.steps[0]![0]!),
})

t.test('cancelling one stops all, and nothing has changed', async (t) => {
  const { model, native, clients } = await open()
  using _ = model
  const before = clients.map(({ adapter }) => bytesOf(adapter.read()))
  const pending = native.stepTogether(clients.map(long), 64)
  clients[1]!.session.cancel()
  for (const [i, { cancelled }] of (await pending).entries()) {
    t.equal(cancelled, i < 2, 'the third had nothing to learn, and nothing to cancel')
    t.ok(before[i]!.equals(bytesOf(clients[i]!.adapter.read())))
    t.equal(clients[i]!.session.state().step, 0)
  }
  t.same(
    (await native.stepTogether(clients.map(step), 4096)).map(({ cancelled }) => cancelled),
    [false, false, false],
    'canary: the next step is whole',
  )
})

t.test('disposing the model ends the call', async (t) => {
  const { model, native, clients } = await open()
  const pending = native.stepTogether(clients.map(long), 64)
  await engineAtWork()
  model.dispose()
  const outcomes = await pending
  t.same(
    outcomes.map(({ cancelled }) => cancelled),
    [true, true, false],
    'it ends as if it had been cancelled',
  )
  await t.rejects(async () => native.stepTogether(clients.map(step), 64), { code: 'E_DISPOSED' })
})
