/** Compressed downloads: clients rebuild what the server believes they hold, by whatever messages they missed. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { chooseAlgorithm } from '../../src/federated/algorithms/index.js'
import { OwnState } from '../../src/federated/client/own-state.js'
import { receive, receivedName } from '../../src/federated/client/personal.js'
import { downloadSchema } from '../../src/federated/download-options.js'
import { simulate } from '../../src/federated/index.js'
import { deltasOf, type Task } from '../../src/federated/protocol/messages.js'
import { type Restored, Server } from '../../src/federated/server/server.js'
import { serverOptimizerSchema } from '../../src/federated/server-step/step.js'
import { encodeVector } from '../../src/federated/vector-message.js'
import { loadModel } from '../../src/model/load.js'
import { Random } from '../../src/random/random.js'
import { goldenFolder } from '../support/golden-model.js'
import { filesOf } from '../support/run-folder.js'
import { bytesOf, temporaryFolder } from '../support/train.js'
import { eventsOf, federation, outcomeOf, timeless, type Variation } from './support/federation.js'

const root = temporaryFolder('download')
t.teardown(() => rmSync(root, { recursive: true }))

const [inputs, outputs, rank] = [300, 200, 4]
const half = rank * inputs
const length = half + rank * outputs
const name = (part: string) => `base_model.model.q.lora_${part}.weight`
const A = { name: name('A'), module: 'q', part: 'lora_A', shape: [rank, inputs], offset: 0, length: half } as const
const B = {
  name: name('B'),
  module: 'q',
  part: 'lora_B',
  shape: [outputs, rank],
  offset: half,
  length: length - half,
} as const
const space = { length, tensors: [A, B], modules: [{ module: 'q', rank, scaling: 2, in: inputs, out: outputs, A, B }] }

const random = new Random(5, 1)
const noise = (size: number) => Float32Array.from({ length: size }, () => random.uniform() - 0.5)
const initial = noise(length)

function serverOf(download: object, algorithm = 'fedavg', restored?: Restored): Server {
  const server = new Server({
    chosen: chooseAlgorithm(algorithm),
    config: {
      rounds: 99,
      seed: 3,
      serverOptimizer: serverOptimizerSchema.parse({}),
      download: downloadSchema.parse(download),
    },
    space,
    initial,
    population: 2,
    restored,
  })
  t.teardown(() => server.dispose())
  return server
}

/** A round in which one client sends `update`. */
async function move(server: Server, update: Float32Array): Promise<void> {
  const round = server.round + 1
  await server.begin()
  server.broadcast(space, round)
  const answer = { version: 1, round, client: 'a', rows: 1, steps: 1, tokens: 1, loss: 1, numbers: {} } as const
  await server.accept({ ...answer, vectors: { adapter: encodeVector(update) } }, space)
  await server.finish(round, 1)
}

/** A client of a server, with what it keeps in a folder of its own. */
async function client(server: Server, at: string, algorithm = 'fedavg') {
  const own = await OwnState.open(join(root, at))
  const home = { chosen: chooseAlgorithm(algorithm), space, initial, own }
  const task = () => server.task('a', space, server.round + 1, 1, own.roundOf('a', receivedName) ?? 0)
  return {
    task,
    async get(asked: Task = task()) {
      const received = await receive(asked, home)
      await own.write('a', receivedName, asked.round, received)
      await own.endRound()
      return received
    },
  }
}

const lossy = [{ codec: 'int8' }, { codec: 'int4' }, { codec: 'topk', density: 1 / 16, bits: 2 }] as const

for (const download of lossy) {
  t.test(
    `${download.codec}: two clients, one of which sleeps, hold the bits that the server believes in`,
    async (t) => {
      const server = serverOf(download)
      const awake = await client(server, `${download.codec}-awake`)
      const asleep = await client(server, `${download.codec}-asleep`)
      for (let round = 1; round <= 7; round++) {
        const asked = awake.task()
        t.same(deltasOf(asked), [round], 'one message from one round to the next')
        const held = server.broadcast(space, round).adapter
        t.ok(bytesOf(await awake.get(asked)).equals(bytesOf(held)), `round ${round}`)
        if (round === 1 || round === 4 || round === 7) {
          const missed = asleep.task()
          const bytes = Object.values(missed.vectors).reduce((sum, { length }) => sum + length, 0)
          t.equal(server.broadcast(space, round, round === 1 ? 0 : round - 3).bytes, bytes, 'counted as sent')
          t.same(deltasOf(missed), round === 1 ? [1] : [round - 2, round - 1, round])
          t.ok(bytesOf(await asleep.get(missed)).equals(bytesOf(held)), `asleep, round ${round}`)
        }
        await move(server, noise(length))
      }
    },
  )
}

t.test('whoever holds nothing, or has missed more than a whole, gets the whole', async (t) => {
  const server = serverOf({ codec: 'int8' })
  const whole = encodeVector(initial).length
  for (let round = 1; round <= 9; round++) {
    server.broadcast(space, round)
    await move(server, noise(length))
  }
  // int8 is about a quarter of float32: three messages are shorter than a whole, four are not.
  t.same(deltasOf(server.task('a', space, 10, 1, 7)), [8, 9, 10])
  for (const version of [0, 3, undefined]) {
    const { vectors } = server.task('a', space, 10, 1, version)
    t.same(Object.keys(vectors), ['adapter'])
    t.equal(vectors.adapter!.length, whole)
  }
  const late = await client(server, 'whole')
  t.ok(bytesOf(await late.get(server.task('a', space, 10, 1, 0))).equals(bytesOf(server.broadcast(space, 10).adapter)))
})

t.test('what messages leave out goes with later ones: a server that stands still is reached', async (t) => {
  const server = serverOf({ codec: 'topk', density: 1 / 16, bits: 8 })
  await move(server, noise(length))
  const far = () => {
    const { adapter } = server.broadcast(space, server.round + 1)
    return Math.hypot(...adapter.map((value, i) => value - server.adapter[i]!)) / Math.hypot(...server.adapter)
  }
  const first = far()
  for (let round = 0; round < 24; round++) await move(server, new Float32Array(length))
  // A message of a sixteenth of the values: after sixteen all have been sent once, to 8 bits.
  t.ok(first > 0.3 && far() <= 0.01, `${first} at first, ${far()} in the end`)
})

t.test('an algorithm that sends a part of the adapter sends differences of that part', async (t) => {
  const server = serverOf({ codec: 'int8' }, 'ffa')
  const one = await client(server, 'part', 'ffa')
  t.equal((await one.get()).length, length - half)
})

t.test('a restored server goes on with the same messages', async (t) => {
  const straight = serverOf({ codec: 'int4' })
  const updates = Array.from({ length: 5 }, () => noise(length))
  for (const update of updates.slice(0, 3)) await move(straight, update)
  straight.broadcast(space, 4) // measured before the checkpoint: of the next round, and not part of it
  const vectors = structuredClone({ ...straight.state.vectors, ...straight.moments, ...straight.downloads })
  const resumed = serverOf({ codec: 'int4' }, 'fedavg', { round: 3, vectors, numbers: {} })
  t.same(Object.keys(resumed.state.vectors), ['adapter'], 'no vector of the algorithm')
  for (const update of updates.slice(3)) for (const server of [straight, resumed]) await move(server, update)
  for (const version of [2, 3, 5]) {
    t.same(resumed.task('a', space, 6, 1, version), straight.task('a', space, 6, 1, version), `from ${version}`)
  }
  const forgetful = serverOf({ codec: 'int4' }, 'fedavg', { round: 3, vectors: straight.state.vectors, numbers: {} })
  t.notSame(
    forgetful.task('a', space, 4, 1, 3),
    straight.task('a', space, 4, 1, 3),
    'canary: what clients hold matters',
  )
})

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
t.teardown(() => model.dispose())
const small = { download: { codec: 'int4' }, rounds: 6, cohort: 4 } satisfies Variation

t.test('in a federation: fewer bytes; order, concurrency and an interruption change nothing', async (t) => {
  const whole = join(root, 'federation')
  const plain = await outcomeOf(await federation(model, { ...small, outputDir: whole }))
  const raw = plain.rounds.reduce((sum, { bytesDownRaw }) => sum + bytesDownRaw, 0)
  const down = plain.rounds.reduce((sum, { bytesDown }) => sum + bytesDown, 0)
  t.ok(down < 0.4 * raw, `${down} of ${raw} bytes`)
  const many = await outcomeOf(await federation(model, { ...small, concurrency: 3 }))
  t.ok(bytesOf(many.vector).equals(bytesOf(plain.vector)))
  t.same(timeless(many.rounds), timeless(plain.rounds))
  const exact = await outcomeOf(await federation(model, { ...small, download: { codec: 'f32' } }))
  t.notOk(bytesOf(exact.vector).equals(bytesOf(plain.vector)), 'canary: the codec has its say')
  const folder = join(root, 'stopped')
  const controller = new AbortController()
  const run = simulate(await federation(model, { ...small, outputDir: folder, signal: controller.signal }))
  await t.rejects(async () => {
    for await (const event of run) if (event.type === 'client' && event.round === 4) controller.abort()
    await run
  })
  ;(await simulate(await federation(model, { ...small, resumeFrom: folder }))).adapter.dispose()
  t.same(filesOf(folder), filesOf(whole), 'byte for byte')
  t.same(eventsOf(folder), eventsOf(whole))
})

t.test('what has no difference is refused by name', async (t) => {
  for (const [algorithm, words] of [
    ['flexlora', /ranks of their own/],
    ['fedkseed', /rebuild/],
  ] as const) {
    const options = await federation(model, { ...small, algorithm, upload: { codec: 'f32' }, serverOptimizer: 'none' })
    t.throws(() => simulate(options), { code: 'E_CONFIG', message: words })
  }
})
