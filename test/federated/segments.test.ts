/** Segments by turn: a client sends a part of its update, the others the other parts, and nothing is lost on the way. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { chooseAlgorithm } from '../../src/federated/algorithms/index.js'
import { OwnState } from '../../src/federated/client/own-state.js'
import { encodeUpload } from '../../src/federated/client/upload.js'
import { downloadSchema } from '../../src/federated/download-options.js'
import { simulate } from '../../src/federated/index.js'
import { rangeOf, segmentOf } from '../../src/federated/protocol/segments.js'
import { Server } from '../../src/federated/server/server.js'
import { serverOptimizerSchema } from '../../src/federated/server-step/step.js'
import { uploadSchema } from '../../src/federated/upload-options.js'
import { encodeVector } from '../../src/federated/vector-message.js'
import { loadModel } from '../../src/model/load.js'
import { native } from '../../src/native/load.js'
import { goldenFolder } from '../support/golden-model.js'
import { bytesOf, temporaryFolder } from '../support/train.js'
import { federation, outcomeOf, timeless, type Variation } from './support/federation.js'

const root = temporaryFolder('segments')
t.teardown(() => rmSync(root, { recursive: true }))

t.test('parts cover a vector once, and a round brings each of them', async (t) => {
  for (const [length, of] of [
    [10, 3],
    [7, 7],
    [2, 5],
    [1000, 16],
  ] as const) {
    const ranges = Array.from({ length: of }, (_, index) => rangeOf(length, { index, of }))
    t.equal(ranges[0]![0], 0)
    t.equal(ranges.at(-1)![1], length)
    for (const [k, [begin, end]] of ranges.entries()) {
      if (k > 0) t.equal(begin, ranges[k - 1]![1])
      t.ok(end - begin === Math.floor(length / of) || end - begin === Math.ceil(length / of))
    }
  }
  const sent = (round: number) => [0, 1, 2].map((place) => segmentOf(place, round, 3).index)
  t.same(
    [sent(1), sent(2), sent(3)],
    [
      [1, 2, 0],
      [2, 0, 1],
      [0, 1, 2],
    ],
  )
})

/** Nothing is known of the tensors. */
const space = { length: 0, tensors: [], modules: [] }

const placeOf = (client: string) => ['a', 'b', 'c'].indexOf(client)

function serverOf(segments: number): Server {
  const server = new Server({
    chosen: chooseAlgorithm('fedavg'),
    config: {
      ...{ rounds: 9, seed: 1, segments },
      serverOptimizer: serverOptimizerSchema.parse({}),
      download: downloadSchema.parse({}),
    },
    space: { length: 5, tensors: [], modules: [] },
    initial: new Float32Array(5),
    population: 3,
    placeOf,
  })
  t.teardown(() => server.dispose())
  return server
}

const answer = (client: string, rows: number, ...update: number[]) => ({
  ...({ version: 1, round: 1, client, rows, steps: 1, tokens: 1, loss: 1, numbers: {} } as const),
  vectors: { adapter: encodeVector(Float32Array.from(update)) },
})

t.test('each part is the mean over those who sent it; one that nobody sent stays', async (t) => {
  const server = serverOf(2)
  await server.begin()
  // In round 1 of two parts, [0, 2) and [2, 5): a and c send the second, b the first.
  t.same(server.task('a', server.space, 1, 1).segment, { index: 1, of: 2 })
  await server.accept(answer('a', 1, 30, 40, 50), server.space)
  await server.accept(answer('c', 3, 10, 20, 10), server.space)
  await t.rejects(server.accept(answer('b', 1, 1, 2, 3), server.space), { code: 'E_SHAPE', message: /expected 2/ })
  await server.finish(1, 1)
  t.same([...server.adapter], [0, 0, 15, 25, 20])
  const stale = serverOf(2)
  await stale.begin()
  await stale.finish(1, 1)
  await stale.begin()
  await stale.accept(answer('a', 1, 30, 40, 50), stale.space, undefined, undefined, 0.5)
  await stale.finish(2, 1)
  t.same(
    [...stale.adapter],
    [0, 0, 15, 20, 25],
    'what an answer to an earlier round sends lies where that round has it',
  )
  const whole = serverOf(1)
  t.equal(whole.task('a', whole.space, 1, 1).segment, undefined)
})

t.test('what is not sent by turn is sent when its turn comes', async (t) => {
  const length = 1000
  for (const codec of ['f32', 'int8'] as const) {
    const own = await OwnState.open(join(root, codec))
    const upload = uploadSchema.parse({ codec, segments: 4, errorFeedback: true })
    const total = { sent: new Float64Array(length), learnt: new Float64Array(length) }
    for (let round = 1; round <= 8; round++) {
      const update = Float32Array.from({ length }, (_, i) => Math.sin(round * i))
      const segment = segmentOf(0, round, 4)
      const message = await encodeUpload(
        'adapter',
        update,
        { client: 'a', round, seed: 9, space, travels: {} },
        upload,
        own,
        segment,
      )
      await own.endRound()
      const [begin, end] = rangeOf(length, segment)
      const part = native().decodeUpdate(message)
      t.equal(part.length, end - begin)
      for (const [i, value] of part.entries()) total.sent[begin + i]! += value
      for (const [i, value] of update.entries()) total.learnt[i]! += value
    }
    const rest = (await own.read('a', 'residual-adapter'))!
    const worst = Math.max(...rest.map((value, i) => Math.abs(total.sent[i]! + value - total.learnt[i]!)))
    // Eight float32 sums of values below 8.
    t.ok(worst <= 8 * 8 * 2 ** -24, `${codec}: ${worst}`)
    const [begin, end] = rangeOf(length, segmentOf(0, 8, 4))
    const sentLast = Math.max(...rest.subarray(begin, end).map(Math.abs))
    t.ok(
      codec === 'f32' ? sentLast === 0 : sentLast > 0 && sentLast <= 0.1,
      `${codec}: ${sentLast} left of the last part`,
    )
    t.ok(Math.max(...rest.map(Math.abs)) > 0.5, 'canary: the other parts wait')
  }
})

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
t.teardown(() => model.dispose())

t.test('in a federation: a third of the bytes; concurrency changes nothing', async (t) => {
  const base = { upload: { codec: 'f32', segments: 3 }, rounds: 3, cohort: 1, absence: 0 } satisfies Variation
  const one = await outcomeOf(await federation(model, base))
  for (const { bytesUp, bytesUpRaw, aggregationError } of one.rounds) {
    t.ok(bytesUp / bytesUpRaw < 0.35, `${bytesUp} of ${bytesUpRaw}`)
    t.equal(aggregationError, null)
  }
  const many = await outcomeOf(await federation(model, { ...base, concurrency: 3 }))
  t.ok(bytesOf(many.vector).equals(bytesOf(one.vector)))
  t.same(timeless(many.rounds), timeless(one.rounds))
  const whole = await outcomeOf(await federation(model, { ...base, upload: { codec: 'f32' } }))
  t.notOk(bytesOf(whole.vector).equals(bytesOf(one.vector)), 'canary: parts are not the whole')
})

t.test('what parts mean nothing to is refused by name', async (t) => {
  const options = await federation(model, {
    upload: { codec: 'f32', segments: 2 },
    algorithm: 'fedex',
    serverOptimizer: 'none',
  })
  t.throws(() => simulate(options), { code: 'E_CONFIG', message: /upload\.segments above 1 excludes/ })
  const none = await federation(model, { upload: { codec: 'f32', segments: 0 } })
  t.throws(() => simulate(none), { code: 'E_CONFIG', message: /segments/ })
})
