/** The figures of a round and of a run, from numbers that can be added up by hand; and the parts of the server that make them. */
import t from 'tap'
import type { Numbers } from '../../src/federated/algorithms/algorithm.js'
import { fedavg } from '../../src/federated/algorithms/fedavg.js'
import { type AlgorithmInput, chooseAlgorithm } from '../../src/federated/algorithms/index.js'
import { downloadSchema } from '../../src/federated/download-options.js'
import type { RoundEvent } from '../../src/federated/events.js'
import { addRound, type Counted, figuresOf, noTotals } from '../../src/federated/figures.js'
import type { Answer } from '../../src/federated/protocol/messages.js'
import type { Space } from '../../src/federated/protocol/space.js'
import { type Collector, ExactCollector } from '../../src/federated/server/collect.js'
import { type Restored, Server, type ServerParts } from '../../src/federated/server/server.js'
import { serverOptimizerSchema } from '../../src/federated/server-step/step.js'
import { Fidelity } from '../../src/federated/simulate/fidelity.js'
import { native } from '../../src/native/load.js'
import { Stopwatch } from '../../src/run/stopwatch.js'

const plain = { codec: 'f32', density: 1, bits: 8, seed: 0 } as const
const message = (...values: number[]) => native().encodeUpdate(Float32Array.from(values), null, plain).bytes

const clients: Counted[] = [
  { client: 0, name: 'a', rows: 1, loss: 2, steps: 3, tokens: 10, bytesUp: 30, bytesUpRaw: 100 },
  { client: 1, name: 'b', rows: 3, loss: 4, steps: 5, tokens: 200, bytesUp: 50, bytesUpRaw: 100 },
  { client: 2, name: 'c', rows: 100, loss: null, steps: 7, tokens: 3000, bytesUp: 0, bytesUpRaw: 0 },
]

t.test('unequal clients, one of which taught nothing', async (t) => {
  t.same(figuresOf(clients, { bytes: 36, raw: 400 }, { adapter: Float32Array.of(2, -3), other: Float32Array.of(6) }), {
    loss: 3.5, // (1·2 + 3·4) / (1 + 3)
    tokens: 3210,
    bytesUp: 80,
    bytesUpRaw: 200, // two messages
    bytesDown: 36,
    bytesDownRaw: 400,
    compressionRatio: 2.5,
    updateNorm: 7, // √(4 + 9 + 36)
  })
})

t.test('a round that nobody answered, and one in which nobody learnt', async (t) => {
  const nothing = { loss: null, bytesUp: 0, bytesUpRaw: 0, compressionRatio: null, updateNorm: 0 }
  const down = { bytes: 18, raw: 200 }
  t.match(figuresOf([], down, {}), { ...nothing, tokens: 0, bytesDown: 18, bytesDownRaw: 200 })
  t.match(figuresOf(clients.slice(2), down, {}), { ...nothing, tokens: 3000, bytesDown: 18, bytesDownRaw: 200 })
})

t.test('sums over rounds; the loss is the last that there was', async (t) => {
  const event = (loss: number | null): RoundEvent =>
    ({
      loss,
      clients,
      ...{ tokens: 10, bytesUp: 2, bytesUpRaw: 8, bytesDown: 3, bytesDownRaw: 12 },
      seconds: { train: 0.25, encode: 1, aggregate: 1, total: 9 },
    }) as unknown as RoundEvent
  const sums = { bytesUp: 4, bytesUpRaw: 16, bytesDown: 6, bytesDownRaw: 24, tokens: 20, steps: 30, trainSeconds: 0.5 }
  t.same(addRound(addRound(noTotals, event(0.5)), event(null)), { ...sums, loss: 0.5 })
})

const spaceOfLength = (length: number): Space => ({ length, tensors: [], modules: [] })

function serverOf(
  initial: number[],
  options: object = {},
  restored?: Restored,
  algorithm: AlgorithmInput = fedavg,
  collector?: ServerParts['collector'],
): Server {
  const config = serverOptimizerSchema.parse(options)
  const server = new Server({
    chosen: chooseAlgorithm(algorithm),
    config: { rounds: 9, seed: 1, serverOptimizer: config, download: downloadSchema.parse({}) },
    space: spaceOfLength(initial.length),
    initial: Float32Array.from(initial),
    population: 5,
    restored,
    collector,
  })
  t.teardown(() => server.dispose())
  return server
}

/** What a client says: a loss, and its update. */
function answer(round: number, client: string, rows: number, update: number[] | null): Answer {
  const vectors: Record<string, Uint8Array> = update === null ? {} : { adapter: message(...update) }
  const loss = update === null ? null : 1
  return { version: 1, round, client, rows, steps: 1, tokens: 10 * rows, loss, vectors, numbers: {} }
}

async function round(server: Server, ...answers: Answer[]) {
  await server.begin()
  for (const one of answers) await server.accept(one, server.space)
  return await server.finish(server.round + 1, 0.1)
}

t.test('means are weighted by rows; an answer without a loss weighs nothing; a round begins empty', async (t) => {
  const server = serverOf([0, 0])
  const { means } = await round(
    server,
    answer(1, 'a', 1, [1, 10]),
    answer(1, 'b', 3, [5, -10]),
    answer(1, 'c', 1000, null),
  )
  t.same([...means.adapter!], [4, -5])
  t.same([...server.adapter], [4, -5])
  await round(server, answer(2, 'c', 7, null))
  t.same([...server.adapter], [4, -5], 'a round in which nobody learnt moves nothing')
  await round(server, answer(3, 'a', 2, [7, 8]))
  t.same([...server.adapter], [11, 3])
  t.equal(server.round, 3)
})

t.test(
  'a bias correction counts rounds, whatever travels under how many names, and goes on from a checkpoint',
  async (t) => {
    const options = { name: 'adam', biasCorrection: true }
    const updates = [1, 2, 3].map((round) => [round, -2, 0.5 * round])
    const [one, several] = [serverOf([0, 0, 0], options), serverOf([0, 0, 0], options, undefined, parts)]
    for (const [r, update] of updates.entries()) {
      await round(one, answer(r + 1, 'a', 1, update))
      await round(several, inParts(r + 1, update))
    }
    t.same([...several.adapter], [...one.adapter])
    t.same(several.numbers, { optimizerSteps: [3] })
    const first = serverOf([0, 0, 0], options)
    for (const [r, update] of updates.slice(0, 2).entries()) await round(first, answer(r + 1, 'a', 1, update))
    const saved = structuredClone({ round: 2, vectors: { ...first.state.vectors, ...first.moments } })
    const numbers = { optimizerSteps: [2] }
    t.same(first.numbers, numbers)
    const go = async (restored: Restored) => {
      const server = serverOf([0, 0, 0], options, restored)
      await round(server, answer(3, 'a', 1, updates[2]!))
      return server
    }
    const resumed = await go({ ...saved, numbers })
    t.same([...resumed.adapter], [...one.adapter])
    t.same([resumed.state.numbers, resumed.numbers], [{}, { optimizerSteps: [3] }], 'no number of the algorithm')
    t.notSame([...(await go({ ...saved, numbers: {} })).adapter], [...one.adapter], 'canary: a lost count differs')
    t.same(serverOf([0], { name: 'adam' }).numbers, {}, 'a rule that does not count keeps no count')
  },
)

/** Two parts of the adapter under two names: one step of the server. */
const parts: typeof fedavg = {
  ...fedavg,
  travels: () => ({ front: [[0, 1]], back: [[1, 3]] }),
}

function inParts(round: number, update: number[]): Answer {
  const vectors = { front: message(update[0]!), back: message(...update.slice(1)) }
  return { ...answer(round, 'a', 1, update), vectors }
}

t.test('a foreign answer is refused and the sums stay as they are', async (t) => {
  const server = serverOf([0, 0])
  await server.begin()
  await server.accept(answer(1, 'a', 1, [1, 10]), server.space)
  await t.rejects(server.accept(answer(1, 'b', 1, [1]), server.space), { code: 'E_SHAPE' })
  const unasked = { ...answer(1, 'b', 1, [1, 1]), vectors: { bdapter: message(1, 1) } }
  await t.rejects(server.accept(unasked, server.space), { code: 'E_FORMAT', message: /'bdapter'/ })
  await server.finish(1, 0.1)
  t.same([...server.adapter], [1, 10])
})

t.test('an answer of several vectors counts whole or not at all', async (t) => {
  const server = serverOf([0, 0, 0], {}, undefined, parts)
  await server.begin()
  await server.accept(inParts(1, [1, 2, 3]), server.space)
  const good = inParts(1, [5, 5, 5])
  const torn = good.vectors.back!.slice()
  torn[torn.length - 1]! ^= 1
  const damages: [Record<string, Uint8Array>, string][] = [
    [{ ...good.vectors, back: torn }, 'E_CHECKSUM'],
    [{ ...good.vectors, back: message(5) }, 'E_SHAPE'],
    [{ ...good.vectors, side: message(5) }, 'E_FORMAT'],
  ]
  for (const [vectors, code] of damages) {
    await t.rejects(server.accept({ ...good, client: 'b', vectors }, server.space), {
      code,
      message: /'(back|side)'|checksum/i,
    })
  }
  await server.finish(1, 0.1)
  t.same([...server.adapter], [1, 2, 3], 'the front of a refused answer was not added')
})

t.test('a server continues from what a checkpoint holds', async (t) => {
  const options = { name: 'momentum', beta1: 0.5 }
  const straight = serverOf([0], options)
  await round(straight, answer(1, 'a', 1, [4]))
  const vectors = { adapter: straight.adapter.slice(), moment1: straight.moments.moment1.slice() }
  const resumed = serverOf([9], options, { round: 1, vectors, numbers: {} })
  t.equal(resumed.round, 1)
  for (const server of [straight, resumed]) await round(server, answer(2, 'a', 1, [4]))
  t.same([[...straight.adapter], [...resumed.adapter]], [[10], [10]], '4, then 4 + (2 + 4)')
  t.throws(() => serverOf([9], options, { round: 1, vectors: {}, numbers: {} }), { code: 'E_SHAPE' })
})

t.test('an abandoned round leaves the state as it was, and the next goes on from there', async (t) => {
  const options = { name: 'momentum', beta1: 0.5 }
  const [server, other] = [serverOf([0], options), serverOf([0], options)]
  for (const one of [server, other]) await round(one, answer(1, 'a', 1, [4]))
  await server.begin()
  await server.accept(answer(2, 'a', 1, [100]), server.space)
  const closed = await server.finish(2, 0.1, 'one answer of two')
  t.same(closed, { means: {}, answers: [], measurements: {}, abandoned: 'one answer of two' })
  t.same([[...server.adapter], server.round, server.whole], [[4], 2, true])
  await round(server, answer(3, 'a', 1, [4]))
  await round(other, answer(2, 'a', 1, [4]))
  t.same([...server.adapter], [...other.adapter], 'neither its moments nor its sums saw the answer')
})

t.test('a collector decides what answers come to, whether they make a step, and remembers', async (t) => {
  const seen: string[] = []
  const largest = (kept: Numbers): Collector => {
    let [most, rounds] = [null as Float32Array | null, kept.rounds?.[0] ?? 0]
    return {
      get kept() {
        return { rounds: [rounds] }
      },
      begin(round) {
        most = null
        rounds++
        seen.push(`round ${round}`)
      },
      add(client, { adapter }, weight) {
        seen.push(`${client} ${weight}`)
        if (most === null || adapter![0]! > most[0]!) most = adapter!
      },
      lacks: () => (most![0]! > 50 ? 'too much' : undefined),
      mean: () => most,
      dispose: () => seen.push('disposed'),
    }
  }
  const of = (restored?: Restored) => serverOf([0], {}, restored, fedavg, largest)
  const server = of()
  await round(server, answer(1, 'a', 2, [3]), answer(1, 'b', 5, [7]))
  t.same([...server.adapter], [7])
  const closed = await round(server, answer(2, 'a', 2, [99]))
  t.equal(closed.abandoned, 'too much')
  t.same([...server.adapter], [7])
  t.same(seen, ['round 1', 'a 2', 'b 5', 'round 2', 'a 2'])
  t.same(server.numbers, { 'collector.rounds': [2] })
  const resumed = of({ round: 2, vectors: server.state.vectors, numbers: { 'collector.rounds': [2] } })
  t.same([resumed.state.numbers, resumed.numbers], [{}, { 'collector.rounds': [2] }], 'no number of the algorithm')
  await round(resumed)
  t.same(resumed.numbers, { 'collector.rounds': [3] })
})

t.test('what a record does not do whole is of no round', async (t) => {
  const torn: typeof fedavg = {
    ...fedavg,
    finish({ state }) {
      state.vectors.adapter![0] = 5
      throw new Error('in the middle')
    },
  }
  const server = serverOf([0], {}, undefined, torn)
  t.ok(server.whole)
  await t.rejects(round(server, answer(1, 'a', 1, [4])), { message: 'in the middle' })
  t.notOk(server.whole, 'it must not be kept')
  t.equal(server.round, 0)
})

t.test('sums by name and length', async (t) => {
  const collector = new ExactCollector()
  t.teardown(() => collector.dispose())
  t.equal(collector.mean('v'), null)
  const vector = (...values: number[]) => Float32Array.from(values)
  collector.add('a', { v: vector(1, 2), w: vector(5) }, 1)
  collector.add('a', { v: vector(3, 4) }, 1)
  t.same([[...collector.mean('v')!], [...collector.mean('w')!]], [[2, 3], [5]])
  collector.begin()
  t.equal(collector.mean('v'), null)
  collector.add('a', { v: vector(7, 8, 9) }, 2)
  t.same([...collector.mean('v')!], [7, 8, 9], 'another length in another round')
})

t.test('fidelity: the cosine to the mean of what was meant', async (t) => {
  const fidelity = new Fidelity(false)
  t.teardown(() => fidelity.dispose())
  const adapter = (...values: number[]) => ({ adapter: Float32Array.from(values) })
  fidelity.add('a', adapter(4, 0), 3)
  fidelity.add('a', adapter(0, 12), 1)
  // The mean is (3, 3): at 45° to the axes, and (3, 4) at an angle of cosine 21 / (5 · √18).
  t.ok(Math.abs(fidelity.cosine(adapter(8, 0))! - Math.SQRT1_2) <= 2 ** -50)
  t.ok(Math.abs(fidelity.cosine(adapter(3, 4))! - 21 / (5 * Math.sqrt(18))) <= 2 ** -50)
  fidelity.reset()
  fidelity.add('a', adapter(0, 2), 1)
  t.equal(fidelity.cosine(adapter(1, 0)), 0)
  t.equal(fidelity.cosine({}), null, 'nothing was averaged')
  fidelity.reset()
  fidelity.add('a', { a: Float32Array.of(3), b: Float32Array.of(0, 4) }, 1)
  const both = fidelity.cosine({ b: Float32Array.of(0, 1), a: Float32Array.of(0) })!
  t.ok(Math.abs(both - 4 / 5) <= 2 ** -50, 'several vectors count as one, by name')
  const lossless = new Fidelity(true)
  lossless.add('a', adapter(4, 0), 3)
  lossless.reset()
  t.equal(lossless.cosine(adapter(0, 1)), 1, 'nothing is compared where nothing is lost')
  lossless.dispose()
})

t.test('a broadcast is what clients really get, encoded once for all of a round', async (t) => {
  const adapter = [1, 1 + 2 ** -7, 1 + 2 ** -10, -3]
  const whole = serverOf(adapter)
  const sent = whole.broadcast(whole.space, 1)
  t.same([...sent.adapter], adapter)
  t.same([sent.bytes, sent.raw], [message(...adapter).length, 16])
  t.equal(whole.broadcast(whole.space, 1), sent)
  t.not(whole.broadcast(whole.space, 2), sent)
  const half = new Server({
    chosen: chooseAlgorithm('fedavg'),
    config: {
      rounds: 9,
      seed: 1,
      serverOptimizer: serverOptimizerSchema.parse({}),
      download: downloadSchema.parse({ codec: 'bf16' }),
    },
    space: spaceOfLength(4),
    initial: Float32Array.from(adapter),
    population: 5,
  })
  t.teardown(() => half.dispose())
  const rounded = half.broadcast(half.space, 1)
  t.same([...rounded.adapter], [1, 1 + 2 ** -7, 1, -3], 'eight bits of a number')
  t.ok(rounded.bytes < sent.bytes)
})

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
