/** The figures of a round and of a run, from numbers that can be added up by hand; and the parts of the server that make them. */
import t from 'tap'
import type { ClientReport, RoundEvent } from '../../src/federated/events.js'
import { Broadcaster } from '../../src/federated/server/broadcast.js'
import { Collector } from '../../src/federated/server/collect.js'
import { figuresOf } from '../../src/federated/server/figures.js'
import { Server } from '../../src/federated/server/server.js'
import { serverOptimizerSchema } from '../../src/federated/server-step/step.js'
import { Fidelity } from '../../src/federated/simulate/fidelity.js'
import { native } from '../../src/native/load.js'
import { Stopwatch } from '../../src/run/stopwatch.js'

const plain = { codec: 'f32', density: 1, bits: 8, seed: 0 } as const
const message = (...values: number[]) => native().encodeUpdate(Float32Array.from(values), null, plain).bytes

const clients: ClientReport[] = [
  { client: 0, name: 'a', rows: 1, loss: 2, steps: 3, tokens: 10, bytesUp: 30 },
  { client: 1, name: 'b', rows: 3, loss: 4, steps: 5, tokens: 200, bytesUp: 50 },
  { client: 2, name: 'c', rows: 100, loss: null, steps: 7, tokens: 3000, bytesUp: 0 },
]

t.test('unequal clients, one of which taught nothing, and one that did not answer', async (t) => {
  t.same(figuresOf(clients, 4, 9, 100, Float32Array.of(2, -3, 6)), {
    loss: 3.5, // (1·2 + 3·4) / (1 + 3)
    tokens: 3210,
    bytesUp: 80,
    bytesUpRaw: 200, // two messages
    bytesDown: 36, // four were asked
    bytesDownRaw: 400,
    compressionRatio: 2.5,
    updateNorm: 7, // √(4 + 9 + 36)
  })
})

t.test('a round that nobody answered, and one in which nobody learnt', async (t) => {
  const nothing = { loss: null, bytesUp: 0, bytesUpRaw: 0, compressionRatio: null, updateNorm: 0 }
  t.match(figuresOf([], 2, 9, 100, null), { ...nothing, tokens: 0, bytesDown: 18, bytesDownRaw: 200 })
  t.match(figuresOf(clients.slice(2), 1, 9, 100, null), { ...nothing, tokens: 3000, bytesDown: 9, bytesDownRaw: 100 })
})

t.test('sums over rounds; the loss is the last that there was; a round without a mean moves nothing', async (t) => {
  const server = new Server(serverOptimizerSchema.parse({}), Float32Array.of(1, 2))
  const event = (round: number, loss: number | null): RoundEvent =>
    ({
      round,
      loss,
      clients,
      ...{ tokens: 10, bytesUp: 2, bytesUpRaw: 8, bytesDown: 3, bytesDownRaw: 12 },
      seconds: { train: 0.25, encode: 1, aggregate: 1, total: 9 },
    }) as unknown as RoundEvent
  server.finish(event(1, 0.5), Float32Array.of(1, -1))
  t.same([...server.adapter], [2, 1])
  server.finish(event(2, null), null)
  t.same([...server.adapter], [2, 1])
  t.equal(server.round, 2)
  const sums = { bytesUp: 4, bytesUpRaw: 16, bytesDown: 6, bytesDownRaw: 24, tokens: 20, steps: 30, trainSeconds: 0.5 }
  t.same(server.totals, { ...sums, loss: 0.5 })
})

t.test('a server continues from what a checkpoint holds', async (t) => {
  const options = serverOptimizerSchema.parse({ name: 'momentum', beta1: 0.5 })
  const event = { round: 1, clients: [], seconds: {} } as unknown as RoundEvent
  const straight = new Server(options, Float32Array.of(0))
  straight.finish(event, Float32Array.of(4))
  const vectors = { adapter: straight.adapter.slice(), moment1: straight.moments.moment1.slice() }
  const resumed = new Server(options, Float32Array.of(9), { round: 1, totals: straight.totals, vectors })
  t.same([resumed.round, resumed.totals], [1, straight.totals])
  for (const server of [straight, resumed]) server.finish({ ...event, round: 2 }, Float32Array.of(4))
  t.same([[...straight.adapter], [...resumed.adapter]], [[10], [10]], '4, then 4 + (2 + 4)')
  t.throws(() => new Server(options, Float32Array.of(9), { round: 1, totals: straight.totals, vectors: {} }), {
    code: 'E_SHAPE',
  })
  const initial = Float32Array.of(1)
  new Server(options, initial).finish(event, Float32Array.of(4))
  t.same([...initial], [1], 'what it began with is not touched')
})

t.test('the mean is weighted by rows; an answer without a message weighs nothing; a round begins empty', async (t) => {
  const collector = new Collector(2)
  t.teardown(() => collector.dispose())
  t.equal(collector.mean(), null)
  collector.add({ message: message(1, 10), rows: 1 })
  collector.add({ message: message(5, -10), rows: 3 })
  collector.add({ message: null, rows: 1000 })
  t.same([...collector.mean()!], [4, -5])
  t.throws(() => collector.add({ message: message(1), rows: 1 }), { code: 'E_SHAPE' })
  t.same([...collector.mean()!], [4, -5], 'a message that is none changes nothing')
  collector.reset()
  t.equal(collector.mean(), null)
  collector.add({ message: message(7, 8), rows: 2 })
  t.same([...collector.mean()!], [7, 8])
})

t.test('fidelity: the cosine to the mean of what was meant', async (t) => {
  const fidelity = new Fidelity(2, false)
  t.teardown(() => fidelity.dispose())
  fidelity.add(Float32Array.of(4, 0), 3)
  fidelity.add(Float32Array.of(0, 12), 1)
  // The mean is (3, 3): at 45° to the axes, and (3, 4) at an angle of cosine 21 / (5 · √18).
  t.ok(Math.abs(fidelity.cosine(Float32Array.of(8, 0)) - Math.SQRT1_2) <= 2 ** -50)
  t.ok(Math.abs(fidelity.cosine(Float32Array.of(3, 4)) - 21 / (5 * Math.sqrt(18))) <= 2 ** -50)
  fidelity.reset()
  fidelity.add(Float32Array.of(0, 2), 1)
  t.equal(fidelity.cosine(Float32Array.of(1, 0)), 0)
  const lossless = new Fidelity(2, true)
  lossless.add(Float32Array.of(4, 0), 3)
  lossless.reset()
  t.equal(lossless.cosine(Float32Array.of(0, 1)), 1, 'nothing is compared where nothing is lost')
  lossless.dispose()
})

t.test(
  'a broadcast: float32 is the adapter itself, bf16 what clients really get; both count their messages',
  async (t) => {
    const adapter = Float32Array.of(1, 1 + 2 ** -7, 1 + 2 ** -10, -3)
    const whole = new Broadcaster('f32').send(adapter)
    t.equal(whole.adapter, adapter)
    t.equal(whole.bytes, message(...adapter).length)
    const half = new Broadcaster('bf16').send(adapter)
    t.same([...half.adapter], [1, 1 + 2 ** -7, 1, -3], 'eight bits of a number')
    t.equal(half.bytes, native().encodeUpdate(adapter, null, { ...plain, codec: 'bf16' }).bytes.length)
    t.ok(half.bytes < whole.bytes)
  },
)

t.test('seconds by phase', async (t) => {
  let clock = 1000
  const { now } = performance
  performance.now = () => clock
  t.teardown(() => {
    performance.now = now
  })
  const watch = new Stopwatch(['train', 'encode', 'idle'])
  const result = await watch.time('encode', async () => {
    clock += 500
    return 'kept'
  })
  t.equal(result, 'kept')
  await watch.time('encode', () => (clock += 250))
  watch.add('train', 3)
  clock += 1000
  t.same(watch.seconds, { train: 3, encode: 0.75, idle: 0 })
  t.equal(watch.total, 1.75)
})
