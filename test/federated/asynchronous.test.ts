/** Federations without rounds: FedBuff by its golden vectors, the laws that tie it to rounds, and what must change no bit. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { RoundEvent } from '../../src/federated/events.js'
import { simulate } from '../../src/federated/index.js'
import { loadModel } from '../../src/model/load.js'
import { goldenFolder } from '../support/golden-model.js'
import { filesOf } from '../support/run-folder.js'
import { bytesOf, temporaryFolder } from '../support/train.js'
import { eventsOf, federation, nameless, outcomeOf, timeless, type Variation } from './support/federation.js'

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
const root = temporaryFolder('asynchronous')
t.teardown(() => {
  model.dispose()
  rmSync(root, { recursive: true })
})

const run = async (variation: Variation) =>
  await outcomeOf(await federation(model, { evaluate: undefined, cohort: 1, ...variation } as Variation))

const clock = {
  compute: { lognormal: [100, 1] },
  bandwidth: { up: 1e4, down: 5e4 },
  latency: 0.25,
} satisfies Variation['clock']

t.test('law: K = C = cohort and equal times are the rounds of the synchronous federation, to the bit', async (t) => {
  // All clients take equally long: the same bytes, and a second a token is nothing beside them.
  const equal = { compute: 1e30, latency: 1 } as const
  for (const upload of [{ codec: 'f32' }, { codec: 'int8' }] as const) {
    const shared = { upload, absence: 0, clock: equal, rounds: 3 } satisfies Variation
    const rounds = await run({ ...shared, cohort: 4 })
    const buffers = await run({ ...shared, asynchronous: { buffer: 4, concurrency: 4 } })
    t.ok(bytesOf(buffers.vector).equals(bytesOf(rounds.vector)), upload.codec)
    const plain = (events: RoundEvent[]) => timeless(events.map(({ aggregationError: _, ...event }) => event))
    t.same(plain(buffers.rounds), plain(rounds.rounds), 'and every figure, the time among them')
    const smaller = await run({ ...shared, asynchronous: { buffer: 3, concurrency: 4 } })
    t.notOk(bytesOf(smaller.vector).equals(bytesOf(rounds.vector)), 'canary: another buffer')
  }
})

const shared = { absence: 0, clock, rounds: 6 } satisfies Variation
const asynchronous = { buffer: 2, concurrency: 5, maxStaleness: 3 }
const reference = await run({ ...shared, asynchronous })

t.test(
  'buffers fill in virtual time: K answers each, nobody at work twice, stale ones scaled or refused',
  async (t) => {
    let now = 0
    const spans: [string, number, number][] = []
    for (const { clock, clients, dropped, round } of reference.rounds) {
      t.equal(clock!.start, now)
      now = clock!.end
      t.equal(clients.length, 2)
      const counted = clock!.clients.filter(({ outcome }) => outcome === 'counted')
      t.same(
        counted.map(({ client }) => client).sort(),
        clients.map(({ client }) => client),
      )
      t.equal(clock!.end, counted.at(-1)!.finish, 'the last one fills it')
      t.ok(clock!.clients.every(({ staleness, outcome }) => (outcome === 'stale') === staleness > 3))
      t.same(clock!.clients.filter(({ outcome }) => outcome === 'stale').length, dropped.length)
      t.ok(clock!.clients.every((client) => client.staleness === round - client.round))
      for (const { name, asked, finish } of clock!.clients) spans.push([name, asked, finish!])
    }
    const twice = spans.some(([name, asked, finish], i) =>
      spans.some(([other, from, to], j) => i !== j && name === other && asked < to && from < finish),
    )
    t.notOk(twice, 'nobody is at work twice at a time')
    const events = spans.flatMap(([, asked, finish]) => [
      [asked, 1],
      [finish, -1],
    ])
    let atWork = 0
    for (const [, change] of events.sort((a, b) => a[0]! - b[0]! || a[1]! - b[1]!)) {
      atWork += change!
      if (!(atWork <= 5)) t.fail(`${atWork} at work`)
    }
    t.ok(reference.rounds.some(({ clock }) => clock!.clients.some(({ staleness }) => staleness > 0)))
    const strict = await run({ ...shared, asynchronous: { ...asynchronous, maxStaleness: 0 } })
    t.ok(strict.rounds.some(({ clock }) => clock!.clients.some(({ outcome }) => outcome === 'stale')))
    t.ok(
      strict.rounds.every(
        ({ clock, clients }) =>
          clients.length === 2 && clock!.clients.every((one) => one.outcome === 'stale' || one.staleness === 0),
      ),
    )
    const whole = await run({ ...shared, asynchronous: { ...asynchronous, exponent: 0 } })
    t.notOk(bytesOf(whole.vector).equals(bytesOf(reference.vector)), 'canary: the scale is seen')
  },
)

t.test('real time, the order of the list and a run folder change no bit', async (t) => {
  const together = await run({ ...shared, asynchronous, concurrency: 3, outputDir: join(root, 'together') })
  t.ok(bytesOf(together.vector).equals(bytesOf(reference.vector)))
  t.same(timeless(together.rounds), timeless(reference.rounds))
  const { clients, ...options } = await federation(model, { ...shared, cohort: 1, asynchronous })
  const named = clients.map((train, i) => ({ name: `client-${i}`, train }))
  const reversed = simulate({ ...options, evaluate: undefined, clients: named.reverse() })
  const events: RoundEvent[] = []
  for await (const event of reversed) if (event.type === 'round') events.push(event)
  using adapter = (await reversed).adapter
  t.ok(bytesOf(adapter.vector()).equals(bytesOf(reference.vector)))
  t.same(nameless(timeless(events)), nameless(timeless(reference.rounds)))
})

t.test('stopped in the middle of any buffer and resumed, it ends in the same bytes', async (t) => {
  const options = { ...shared, asynchronous, absence: 0.2, checkpointEvery: 2 } satisfies Variation
  const whole = join(root, 'whole')
  const expected = await run({ ...options, outputDir: whole })
  const kept = /\.(f32|flup|safetensors|answer)$/
  t.ok(Object.keys(filesOf(whole, /\.answer$/)).length > 0, 'some are at work to the end')
  for (const last of [3, 9, 13]) {
    const folder = join(root, `stopped-${last}`)
    const controller = new AbortController()
    const running = simulate(
      await federation(model, {
        ...options,
        cohort: 1,
        evaluate: undefined,
        outputDir: folder,
        signal: controller.signal,
      } as Variation),
    )
    let worked = 0
    await t.rejects(
      async () => {
        for await (const event of running) if (event.type === 'client' && ++worked === last) controller.abort()
      },
      { name: 'AbortError' },
    )
    const resumed = await run({ ...options, resumeFrom: folder, concurrency: 2 })
    t.ok(bytesOf(resumed.vector).equals(bytesOf(expected.vector)), `after ${last} clients`)
    t.same(filesOf(folder, kept), filesOf(whole, kept))
    t.same(eventsOf(folder), eventsOf(whole))
    t.same(timeless(resumed.result), timeless(expected.result))
  }
  await t.rejects(run({ ...options, asynchronous: { ...asynchronous, exponent: 1 }, resumeFrom: whole }), {
    code: 'E_CHECKPOINT',
    message: /federation\.asynchronous\.exponent/,
  })
})

t.test('a buffer that nobody can fill closes with what it has; what means nothing is refused', async (t) => {
  const absent = await run({ ...shared, absence: 0.9, rounds: 8, asynchronous: { buffer: 6, concurrency: 6 } })
  t.ok(absent.rounds.some(({ clients }) => clients.length < 6))
  t.equal(absent.result.rounds, 8)
  const refused = async (variation: Variation, message: RegExp) =>
    await t.rejects(run({ ...shared, asynchronous, ...variation }), { code: 'E_CONFIG', message })
  await refused({ asynchronous: { buffer: 3, concurrency: 2 } }, /asynchronous\.buffer: got 3/)
  await refused({ asynchronous: { buffer: 1, concurrency: 7 } }, /asynchronous\.concurrency: got 7/)
  await refused({ asynchronous: { buffer: 0, concurrency: 2 } }, /buffer/)
  await refused({ cohort: 4 }, /asynchronous excludes.*cohort/)
  await refused({ clock: { ...clock, deadline: 3 } }, /asynchronous excludes.*deadline/)
  await refused({ clock: { ...clock, tiers: 2 } }, /asynchronous excludes/)
  for (const algorithm of ['scaffold', 'fednova', 'feddyn', 'flexlora', 'fedex', 'rolora', 'fedkseed'])
    await refused({ algorithm, upload: { codec: 'f32' } }, new RegExp(`asynchronous excludes.*${algorithm}`))
})
