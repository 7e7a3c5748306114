/** What a server refuses of answers, and that the round goes on without them: damage, shape, finiteness, weight, norm. */
import t from 'tap'
import type { RoundEvent } from '../../src/federated/events.js'
import type { Answer } from '../../src/federated/protocol/messages.js'
import { screen } from '../../src/federated/server/screen.js'
import { simulate } from '../../src/federated/simulate/simulate.js'
import { encodeVector } from '../../src/federated/vector-message.js'
import { loadModel } from '../../src/model/load.js'
import { goldenFolder } from '../support/golden-model.js'
import { bytesOf } from '../support/train.js'
import { lora, makeClients } from './support/federation.js'

const values = Float32Array.of(3, 0, -4)
const good: Answer = {
  version: 1,
  round: 1,
  client: 'ada',
  rows: 12,
  steps: 2,
  tokens: 100,
  loss: 1.5,
  vectors: { adapter: encodeVector(values) },
  numbers: { path: [1] },
}
const expected = { names: ['adapter'], lengthOf: (name: string) => (name === 'adapter' ? 3 : undefined), weight: 12 }

/** A message with a byte turned. */
function damaged(message: Uint8Array, place: number): Uint8Array {
  const copy = message.slice()
  copy[place]! ^= 16
  return copy
}

t.test('an answer that is as it must be passes, up to its bounds', async (t) => {
  t.same(screen(good, expected), { adapter: values })
  t.same(screen(good, expected, { maxNorm: 5, maxWeight: 12 }), { adapter: values })
  t.same(
    screen({ ...good, loss: null, vectors: {} }, expected, { maxWeight: 1 }),
    {},
    'it teaches nothing and weighs nothing',
  )
})

t.test('what is refused, by code and in words', async (t) => {
  const message = good.vectors.adapter!
  const vectors = (adapter: unknown, rest = {}) => ({ ...good, vectors: { adapter, ...rest } }) as Answer
  const table: [what: string, answer: object, code: string, words: RegExp, screening?: object][] = [
    ['no vector', { ...good, vectors: {} }, 'E_FORMAT', /'adapter' is missing/],
    ['another vector', vectors(message, { other: message }), 'E_FORMAT', /'other' is a vector that nobody asked for/],
    [
      'a name of Object',
      vectors(message, { constructor: message }),
      'E_FORMAT',
      /'constructor' is a vector that nobody/,
    ],
    ['no bytes', vectors([1, 2, 3]), 'E_FORMAT', /vectors\.adapter/],
    ['empty', vectors(new Uint8Array(0)), 'E_FORMAT', /'adapter': /],
    ['cut off', vectors(message.slice(0, -1)), 'E_FORMAT', /'adapter': /],
    ['a bit turned in the body', vectors(damaged(message, message.length - 2)), 'E_CHECKSUM', /'adapter': /],
    ['a bit turned in the version', vectors(damaged(message, 4)), 'E_VERSION', /'adapter': /],
    [
      'longer',
      vectors(encodeVector(new Float32Array(4))),
      'E_SHAPE',
      /'adapter' has another number of values, expected 3/,
    ],
    ['rows below 0', { ...good, rows: -1 }, 'E_FORMAT', /rows/],
    ['rows that are not whole', { ...good, rows: 1.5 }, 'E_FORMAT', /rows/],
    ['a loss that is no number', { ...good, loss: Number.NaN }, 'E_FORMAT', /loss/],
    ['numbers that are none', { ...good, numbers: { path: [Number.POSITIVE_INFINITY] } }, 'E_FORMAT', /numbers\.path/],
    ['a field more', { ...good, more: 1 }, 'E_FORMAT', /it|more/],
    ['another version', { ...good, version: 2 }, 'E_FORMAT', /version/],
    ['too long', good, 'E_ARGUMENT', /its norm is 5\.00000, at most 4\.99 counts/, { maxNorm: 4.99 }],
    ['too heavy', good, 'E_ARGUMENT', /its weight is 12, at most 11 counts/, { maxWeight: 11 }],
  ]
  for (const [what, answer, code, words, screening] of table) {
    const call = () => screen(answer as Answer, expected, screening)
    t.throws(call, { code, message: words }, what)
    t.throws(call, { message: /^the answer of client ada: / }, `${what}: names the client`)
  }
  for (const weight of [0, -3, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60]) {
    t.throws(
      () => screen(good, { ...expected, weight }),
      { code: 'E_ARGUMENT', message: /whole number above 0/ },
      `${weight}`,
    )
  }
})

t.test('the norm is of all vectors as one', async (t) => {
  const answer = { ...good, vectors: { a: encodeVector(Float32Array.of(3)), b: encodeVector(Float32Array.of(4)) } }
  const both = { names: [], lengthOf: () => 1, weight: 1 }
  t.ok(screen(answer, both, { maxNorm: 5 }))
  t.throws(() => screen(answer, both, { maxNorm: 4.5 }), { code: 'E_ARGUMENT' })
})

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
t.teardown(() => model.dispose())

async function run(more: object) {
  const running = simulate({
    model,
    adapter: lora,
    clients: await makeClients(5),
    rounds: 2,
    local: { steps: 1, batchSize: 2, learningRate: 1e-2 },
    ...more,
  })
  const rounds: RoundEvent[] = []
  for await (const event of running) if (event.type === 'round') rounds.push(event)
  using adapter = (await running).adapter
  return { vector: adapter.vector(), rounds }
}

t.test('a federation goes on without the answers that were refused, and says which', async (t) => {
  const plain = await run({})
  t.ok(plain.rounds.every(({ refused }) => refused === undefined))
  const wide = await run({ screening: { maxNorm: 1e6, maxWeight: 1000 } })
  t.ok(bytesOf(wide.vector).equals(bytesOf(plain.vector)), 'bounds that nobody meets change no bit')
  const rows = plain.rounds[0]!.clients.map((client) => client.rows)
  const most = Math.max(...rows)
  const heavy = rows.flatMap((count, client) => (count === most ? [client] : []))
  for (const concurrency of [1, 4]) {
    const { rounds, vector } = await run({ screening: { maxWeight: most - 1 }, concurrency })
    t.notOk(bytesOf(vector).equals(bytesOf(plain.vector)), 'canary: it is another federation')
    for (const { refused, clients, dropped } of rounds) {
      t.same(
        refused!.map(({ client, code }) => [client, code]),
        heavy.map((client) => [client, 'E_ARGUMENT']),
      )
      t.match(refused![0]!.message, new RegExp(`client client-${heavy[0]}: its weight is ${most}, at most ${most - 1}`))
      t.equal(clients.length, 5 - heavy.length)
      t.same(dropped, [], 'they answered')
    }
  }
  const { rounds, vector } = await run({ screening: { maxNorm: 1e-12 } })
  using untouched = model.createAdapter(lora)
  t.ok(bytesOf(vector).equals(bytesOf(untouched.vector())), 'all refused: nothing moves')
  t.ok(rounds.every(({ refused, loss }) => refused!.length === 5 && loss === null))
})

t.test('a client that sends NaN is refused and named', async (t) => {
  const { rounds, vector } = await run({ attackers: { 'client-3': 'nan' } })
  for (const { refused } of rounds) {
    t.match(refused, [{ client: 3, name: 'client-3', code: 'E_NONFINITE', message: /client client-3: 'adapter'/ }])
  }
  t.ok(vector.every(Number.isFinite))
})

t.test('options that are refused', async (t) => {
  for (const screening of [{ maxNorm: 0 }, { maxNorm: '1' }, { maxWeight: 1.5 }, { maxWeight: 0 }, { most: 1 }, 7]) {
    await t.rejects(
      async () => await run({ screening }),
      { code: 'E_CONFIG', message: /screening/ },
      JSON.stringify(screening),
    )
  }
})
