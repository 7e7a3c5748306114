/** FedBuff: the golden trajectory through the reducer and the real server; the reducer by itself. */
import t from 'tap'
import { chooseAlgorithm } from '../../src/federated/algorithms/index.js'
import {
  type Buffers,
  type BuffersEvent,
  nextBuffer,
  stalenessScale,
  startBuffers,
} from '../../src/federated/protocol/buffers.js'
import { Server } from '../../src/federated/server/server.js'
import { serverOptimizerSchema } from '../../src/federated/server-step/step.js'
import { encodeVector } from '../../src/federated/vector-message.js'
import { Random } from '../../src/random/random.js'
import { golden, parameters, space } from './support/quadratics.js'

const size = 6
const numbers = (name: string) => Float64Array.from(golden.get(name).values, Number)
const [H, g, steps] = ['H', 'g', 'steps'].map((name) => numbers(name)) as [Float64Array, Float64Array, Float64Array]
const arrivals = Array.from({ length: numbers('buff.arrivals').length / 2 }, (_, i) => {
  const [client, version] = numbers('buff.arrivals').subarray(2 * i, 2 * i + 2)
  return { name: `arrival-${i}`, client: client!, version: version! }
})

/** SGD of a client over its quadratic, from x: what it adds to x. */
function updateOf(client: number, x: Float32Array): Float32Array {
  let y = Float64Array.from(x)
  for (let step = 0; step < steps[client]!; step++) {
    y = y.map((value, i) => {
      let slope = -g[client * size + i]!
      for (let j = 0; j < size; j++) slope += H[(client * size + i) * size + j]! * y[j]!
      return value - parameters.lr! * slope
    })
  }
  return Float32Array.from(y, (value, i) => value - x[i]!)
}

/** The server's adapter at every version, and [staleness, scale] of every arrival; scale 0: refused. */
async function play(exponent: number) {
  const x0 = Float32Array.from(numbers('x0'))
  const server = new Server({
    chosen: chooseAlgorithm('fedavg'),
    config: {
      rounds: 9,
      seed: 1,
      serverOptimizer: serverOptimizerSchema.parse({}),
      download: { codec: 'f32', density: 1, bits: 8 },
      weighting: 'uniform',
    } as ConstructorParameters<typeof Server>[0]['config'],
    space,
    initial: x0,
    population: 4,
  })
  let state = startBuffers(9, { goal: 3, maxStaleness: 4 })
  const versions = [server.adapter.slice()]
  const log: [number, number][] = []
  const dispatch = (event: BuffersEvent) => {
    const transition = nextBuffer(state, event)
    state = transition.state
    return transition.effects
  }
  const begin = async () => {
    await server.begin()
    const clients = arrivals.filter(({ version }) => version === state.version).map(({ name }) => name)
    dispatch({ type: 'start', clients })
  }
  await begin()
  for (const { name, client, version } of arrivals) {
    const staleness = state.version - version
    const effects = dispatch({ type: 'answer', version, client: name, digest: 'd' })
    const add = effects.find((effect) => effect.type === 'add')
    const scale = add === undefined ? 0 : stalenessScale(add.staleness, exponent)
    log.push([staleness, scale])
    if (add === undefined) continue
    const vectors = { adapter: encodeVector(updateOf(client, versions[version]!)) }
    const counts = { rows: 1, steps: 1, tokens: 1, loss: 1, numbers: {} }
    await server.accept(
      { version: 1, round: version + 1, client: name, vectors, ...counts },
      space,
      undefined,
      undefined,
      scale,
    )
    if (!effects.some(({ type }) => type === 'finish')) continue
    await server.finish(state.version + 1, 1)
    versions.push(server.adapter.slice())
    dispatch({ type: 'finished', version: state.version })
    await begin()
  }
  server.dispose()
  return { x: versions.flatMap((values) => [...values]), log }
}

t.test('golden: 17 arrivals, K = 3, none older than 4 versions, (1 + τ)^−½ ÷ K', async (t) => {
  const { x, log } = await play(0.5)
  const expected = numbers('buff.paper.x')
  const worst = (values: readonly number[]) =>
    values.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0)
  t.equal(x.length, expected.length)
  // float32 of states and updates: the golden README's tolerance.
  t.ok(worst(x) <= 1e-6, `${worst(x)}`)
  t.same(
    log.map(([staleness]) => staleness),
    [...numbers('buff.staleness')],
  )
  t.ok(log.every(([, scale], i) => Math.abs(scale - numbers('buff.weight')[i]!) <= 1e-15))
  t.ok(
    log.some(([, scale]) => scale === 0),
    'one is refused',
  )
  for (const exponent of [0, 0.51, 1]) t.notOk(worst((await play(exponent)).x) <= 1e-6, `canary: exponent ${exponent}`)
  for (const other of ['normalised', 'rows']) {
    const values = numbers(`buff.${other}.x`)
    t.notOk(worst([...values]) <= 1e-6, `canary: ${other} is another trajectory`)
  }
})

const fold = (events: readonly BuffersEvent[], goal = 2, maxStaleness: number | null = null) => {
  let state: Buffers = startBuffers(3, { goal, maxStaleness })
  const effects = events.map((event) => {
    const transition = nextBuffer(state, event)
    state = transition.state
    return transition.effects
  })
  return { state, effects, last: effects.at(-1) }
}
const start = (...clients: string[]): BuffersEvent => ({ type: 'start', clients })
const answer = (client: string, version = 0, digest = 'd'): BuffersEvent => ({
  type: 'answer',
  client,
  version,
  digest,
})
const finished = (version = 0): BuffersEvent => ({ type: 'finished', version })

t.test('the reducer: nobody twice from one version, stale answers refused, a full buffer closes', async (t) => {
  t.same(fold([start('a', 'b'), start('a', 'c')]).last, [{ type: 'ask', version: 0, clients: ['c'] }])
  t.same(fold([start('a', 'b'), answer('a'), start('a')]).last, [], 'its answer is in the buffer')
  t.same(fold([start('a'), { type: 'failure', client: 'a', version: 0, code: 'x' }, start('a')]).last, [])
  t.same(fold([start('a', 'b'), answer('b'), answer('a')]).last, [
    { type: 'add', version: 0, client: 'a', staleness: 0 },
    { type: 'finish', version: 0, answered: ['a', 'b'] },
  ])
  const full = [start('a', 'b', 'c'), answer('a'), answer('b'), finished()]
  t.same(fold([...full, start('a', 'c')]).last, [{ type: 'ask', version: 1, clients: ['a'] }], 'c is at work')
  t.same(fold([...full, answer('c')]).last, [{ type: 'add', version: 0, client: 'c', staleness: 1 }])
  t.same(fold([...full, answer('c')], 2, 0).last, [{ type: 'refuse', version: 0, client: 'c', why: 'stale' }])
  t.same(fold([...full, answer('c')], 2, 1).last, [{ type: 'add', version: 0, client: 'c', staleness: 1 }], 'just not')
  t.same(fold([...full, answer('c', 1)]).last, [{ type: 'refuse', version: 1, client: 'c', why: 'unasked' }])
  t.same(fold([start('a'), answer('a'), answer('a')]).last, [{ type: 'acknowledge', version: 0, client: 'a' }])
  t.same(fold([start('a'), answer('a'), answer('a', 0, 'other')]).last, [
    { type: 'refuse', version: 0, client: 'a', why: 'unasked' },
  ])
  t.same(fold([start('a', 'b'), answer('a'), answer('b'), start('c')]).last, [], 'not while it closes')
  t.same(fold([start('a'), { type: 'exhausted', version: 0 }]).last, [], 'somebody is at work')
  t.same(fold([start('a'), answer('a'), { type: 'exhausted', version: 0 }]).last, [
    { type: 'finish', version: 0, answered: ['a'] },
  ])
  const names = ['__proto__', 'constructor']
  t.same(fold([start(...names), ...names.map((name) => answer(name))]).last?.at(-1), {
    type: 'finish',
    version: 0,
    answered: names,
  })
})

t.test('replay: any list of events gives one state; nothing counts twice', async (t) => {
  const random = new Random(4, 78)
  const pick = <T>(list: readonly T[]) => list[Math.floor(random.uniform() * list.length)]!
  let finishes = 0
  for (let trial = 0; trial < 200; trial++) {
    const names = ['a', 'b', 'c', 'd']
    const events = Array.from({ length: 60 }, () =>
      pick<() => BuffersEvent>([
        () => start(pick(names), pick(names)),
        () => answer(pick(names), pick([0, 1, 2]), pick(['x', 'y'])),
        () => ({ type: 'failure', client: pick(names), version: pick([0, 1, 2]), code: 'gone' }),
        () => ({ type: 'exhausted', version: pick([0, 1, 2]) }),
        () => finished(pick([0, 1, 2])),
      ])(),
    )
    const journal = JSON.parse(JSON.stringify(events)) as BuffersEvent[]
    const { state, effects } = fold(events, 2, 1)
    t.same(fold(journal, 2, 1).state, state)
    const added = effects.flat().filter((effect) => effect.type === 'add')
    const keys = added.map(({ version, client }) => `${version} ${client}`)
    if (new Set(keys).size !== keys.length) t.fail('added twice')
    if (!added.every(({ staleness }) => staleness <= 1)) t.fail('too stale')
    const asks = effects
      .flat()
      .flatMap((effect) => (effect.type === 'ask' ? effect.clients.map((name) => `${effect.version} ${name}`) : []))
    if (new Set(asks).size !== asks.length) t.fail('asked twice from one version')
    finishes += effects.flat().filter(({ type }) => type === 'finish').length
  }
  t.ok(finishes > 100, `${finishes} buffers closed`)
})
