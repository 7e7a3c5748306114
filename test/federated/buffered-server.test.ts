/** The server of a federation without rounds: whom it asks, what counts, who is given up, what everyone is told, and that its journal is all of it. */
import { readFileSync, rmSync } from 'node:fs'
import t from 'tap'
import { parse } from 'yaml'
import type { CoordinatorOptions } from '../../src/federated/coordinator/options.js'
import { decodeVector } from '../../src/federated/vector-message.js'
import type { FedloraError } from '../../src/index.js'
import { parseServerOptions } from '../../src/server/options.js'
import { temporaryFolder } from '../support/train.js'
import { Punctual, Timeless } from './support/buffered.js'
import { options } from './support/conformance.js'
import { drifts } from './support/small-participant.js'

const root = temporaryFolder('buffered-server')
t.teardown(() => rmSync(root, { recursive: true }))
const never = new AbortController().signal
const six = ['a', 'b', 'c', 'd', 'e', 'f']
type Asynchronous = NonNullable<CoordinatorOptions['federation']['asynchronous']>

const buffered = (
  asynchronous: Asynchronous,
  { clients, federation }: { clients?: object; federation?: object } = {},
) =>
  options({
    clients: { minimum: 6, deadline: 10, ...clients },
    federation: { rounds: 8, seed: 11, local: { steps: 2 }, asynchronous, ...federation },
  })

let places = 0

class World {
  readonly server: Timeless
  readonly clients = new Map<string, Punctual>()

  constructor(config: CoordinatorOptions) {
    this.server = new Timeless(config)
  }

  static async open(config: CoordinatorOptions, names: readonly string[] = six): Promise<World> {
    const world = new World(config)
    await world.server.open()
    for (const name of names) await world.join(name)
    return world
  }

  async join(name: string): Promise<Punctual> {
    await this.server.enrol(name)
    await this.server.settled()
    const one = await Punctual.join(name, this.server.link(name), `${root}/${places++}`, () => drifts)
    this.clients.set(name, one)
    return one
  }

  one(name: string): Punctual {
    return this.clients.get(name)!
  }

  /** One after another of those at work answers, by draws of a seed, until the federation is over. */
  async play(seed: number, disturb: (at: number) => Promise<void> = async () => {}): Promise<string[]> {
    const order: string[] = []
    let state = seed
    for (;;) {
      await disturb(order.length)
      await this.server.settled()
      const working = [...(await this.server.atWork()).keys()].sort()
      if (this.server.coordinator.standing().state === 'finished' || working.length === 0) return order
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      const name = working[Math.floor((state / 2 ** 32) * working.length)]!
      await this.one(name).arrive()
      order.push(name)
    }
  }

  async close(): Promise<void> {
    for (const one of this.clients.values()) await one.close()
    await this.server.close()
  }
}

/** What a federation came to, by its journal and its blobs alone: read a second time, slowly, one value after the other. */
async function readAgain(
  { journal, blobs }: Timeless,
  exponent: number,
): Promise<{ adapter: Float32Array; stalest: number }> {
  let adapter: Float32Array | undefined
  let version = 0
  let stalest = 0
  let buffer: { round: number; rows: number; update: Float32Array }[] = []
  const working = new Map<string, number>()
  for await (const { record } of journal.read()) {
    if (record.type === 'run') adapter = decodeVector(await blobs.read(record.description.initial.blob))
    if (record.type === 'start')
      for (const { clients } of record.work) for (const client of clients) working.set(client, record.round)
    if (record.type === 'accepted') {
      const { client, round, manifest, staleness } = record
      if (working.get(client) !== round) throw new Error(`${client} was not at work on round ${round}`)
      if (staleness !== version + 1 - round) throw new Error(`an answer of round ${round} is ${staleness} versions old`)
      working.delete(client)
      stalest = Math.max(stalest, staleness)
      buffer.push({ round, rows: manifest.answer.rows, update: decodeVector(await blobs.read(manifest.blob!.blob)) })
    }
    if (record.type !== 'commit') continue
    const weight = buffer.reduce((sum, { rows }) => sum + rows, 0)
    adapter = adapter!.map((value, i) => {
      let sum = 0
      for (const { round, rows, update } of buffer)
        sum += rows * Math.fround(update[i]! * (2 + version - round) ** -exponent)
      return value + Math.fround(sum / weight)
    })
    buffer = []
    version++
  }
  return { adapter: adapter!, stalest }
}

/** The adapter that the last step left. */
async function adapterOf({ server }: World): Promise<Float32Array> {
  const { checkpoint } = (await server.all('commit')).at(-1)!
  return decodeVector(await server.blobs.read(checkpoint.vectors.adapter!.blob))
}

/** Records without their times. */
const timeless = (records: readonly object[]) =>
  JSON.parse(
    JSON.stringify(records, (key, value) =>
      key === 'at' ||
      key === 'seconds' ||
      key === 'peakBytes' ||
      key === 'log' ||
      key === 'run' ||
      key === 'token' ||
      key === 'digest' ||
      key === 'tokensPerSecond'
        ? undefined
        : value,
    ),
  )

const keepAll = (world: World) => {
  world.server.blobs.collect = async () => {}
}

t.test('the journal is all of it: a second, slow reading gives the same adapter bit for bit', async (t) => {
  const cases: [Asynchronous, seed: number][] = [
    [{ buffer: 3, concurrency: 5 }, 1],
    [{ buffer: 2, concurrency: 6, exponent: 1.5, maxStaleness: 2 }, 2],
  ]
  for (const [asynchronous, seed] of cases) {
    const world = new World(buffered(asynchronous))
    keepAll(world)
    await world.server.open()
    for (const name of six) await world.join(name)
    await world.play(seed)
    await world.server.coordinator.over
    t.equal((await world.server.all('commit')).length, 8)
    const { exponent = 0.5 } = asynchronous
    const { adapter, stalest } = await readAgain(world.server, exponent)
    t.ok(stalest > 0, `answers are ${stalest} versions old`)
    t.same(adapter, await adapterOf(world))
    t.notSame((await readAgain(world.server, exponent + 0.1)).adapter, adapter, 'canary: another exponent')
    await world.close()
  }
})

t.test('another server before every answer goes on to the same records and the same end', async (t) => {
  const config = buffered({ buffer: 2, concurrency: 4, maxStaleness: 2 }, { federation: { serverOptimizer: 'adam' } })
  const run = async (restarts: boolean) => {
    const world = await World.open(config)
    const order = await world.play(5, async (at) => (restarts && at > 0 ? await world.server.reopen() : undefined))
    const records = timeless(
      (await world.server.records()).filter(({ type }) => type !== 'run' && type !== 'invited' && type !== 'enrolled'),
    )
    const adapter = await adapterOf(world)
    await world.close()
    return { order, records, adapter }
  }
  const expected = await run(false)
  t.ok(expected.order.length > 16, `${expected.order.length} answers`)
  t.same(await run(true), expected)
})

t.test('as many as may are at work, nobody twice, and everyone in turn', async (t) => {
  const world = await World.open(buffered({ buffer: 2, concurrency: 4 }, { federation: { rounds: 40 } }))
  t.equal((await world.server.atWork()).size, 4)
  const asked = new Map<string, number>()
  await world.play(9, async () => {
    const { size } = await world.server.atWork()
    if (size > 4) t.fail(`${size} at work`)
  })
  const started = await world.server.all('start')
  for (const { round, work } of started)
    for (const name of work.flatMap(({ clients }) => clients)) {
      const key = `${round} ${name}`
      if (asked.has(key)) t.fail(`${name} is asked twice in round ${round}`)
      asked.set(key, 1)
      asked.set(name, (asked.get(name) ?? 0) + 1)
    }
  const each = six.map((name) => asked.get(name)!)
  t.ok(Math.min(...each) > 6 && Math.max(...each) < 24, `${each}`)
  const accepted = await world.server.all('accepted')
  t.equal(new Set(accepted.map(({ round, client }) => `${round} ${client}`)).size, accepted.length)
  t.same(
    (await world.server.all('commit')).map(({ counted }) => counted.length),
    Array(40).fill(2),
  )
  await world.close()
})

const codeOf = async (call: Promise<unknown>) =>
  await call.then(
    () => 'nothing',
    (error: FedloraError) => error.code,
  )

t.test('who does not answer in time is given up, told so, and asked again from a later version', async (t) => {
  const world = await World.open(buffered({ buffer: 2, concurrency: 4 }))
  const { server } = world
  const first = [...(await server.atWork()).keys()]
  const idle = six.filter((name) => !first.includes(name))
  const [late, ...others] = first as [string, ...string[]]
  const notice = await world.one(late).asked()
  t.equal(notice.deadline, 10)
  await server.pass(4000)
  t.equal((await world.one(late).asked()).deadline, 6, 'seconds that are left')
  await world.one(others[0]!).arrive()
  await server.settled()
  const now = [...(await server.atWork()).keys()]
  t.equal(now.filter((name) => idle.includes(name)).length, 1, 'another one in its place')
  await server.pass(5999)
  t.equal((await server.all('failed')).length, 0, 'not yet')
  await server.pass(1)
  const failed = await server.all('failed')
  t.same(
    failed.map(({ client }) => client).sort(),
    first.filter((name) => name !== others[0]).sort(),
    'those who began together',
  )
  t.match(failed[0], { code: 'E_UNREACHABLE', why: 'no answer came within 10 seconds', round: 1 })
  const one = world.one(late)
  const work = await one.work(notice)
  t.match(
    await one.answer(1, work).catch((error: FedloraError) => ({ type: 'refused', code: error.code })),
    { type: 'refused', code: 'E_ROUND_CLOSED' },
    'too late',
  )
  t.match(await one.link.say({ type: 'working', round: 1, step: 1, steps: 2 }, never), {
    type: 'refused',
    code: 'E_ROUND_CLOSED',
  })
  t.match(await one.link.next({ ...one.known, working: 1 }, never), {
    type: 'outcome',
    round: 1,
    counted: false,
    why: /no answer came/,
  })
  t.notOk((await server.atWork()).has(late), 'not from the version that it failed')
  const [next] = [...(await server.atWork()).keys()]
  await world.one(next!).arrive()
  await server.settled()
  t.equal((await server.all('commit')).length, 1)
  await world.play(3)
  t.ok(
    (await server.all('start')).some(
      ({ round, work }) => round > 1 && work.some(({ clients }) => clients.includes(late)),
    ),
  )
  t.equal((await server.all('commit')).length, 8)
  await server.coordinator.over
  t.ok(
    (await server.all('commit')).some(({ counted }) => counted.includes(late)),
    'then it counts',
  )
  t.match(
    await one.link.next({ ...one.known, working: 1 }, never),
    { round: 1, counted: false },
    'and its first work never',
  )
  const [[last, round]] = [...(await server.atWork())] as [[string, number]]
  const { link, known } = world.one(last)
  t.match(await link.next({ ...known, working: round }, never), {
    round,
    counted: false,
    why: 'the federation has ended',
  })
  t.match(await link.next({ ...known, working: null }, never), { type: 'over', round: 8 }, 'also who was still at work')
  await world.close()
})

t.test('a buffer that nobody is left to fill closes with what it has; with too little it is abandoned', async (t) => {
  const world = await World.open(
    buffered({ buffer: 6, concurrency: 6 }, { federation: { rounds: 3 }, clients: { minimumAnswers: 2 } }),
  )
  const { server } = world
  for (const name of ['a', 'b', 'c']) await world.one(name).arrive()
  await server.pass(10_000)
  t.same(
    (await server.all('commit')).map(({ counted }) => counted),
    [['a', 'b', 'c']],
  )
  t.equal((await server.all('exhausted')).length, 1)
  await world.one('d').arrive()
  await server.pass(10_000)
  t.match(await server.all('abandon'), [{ round: 2, why: '1 of 2 answers came' }])
  const d = world.one('d')
  t.match(await d.link.next(d.known, never), { type: 'outcome', round: 2, counted: false, why: '1 of 2 answers came' })
  t.equal((await server.atWork()).size, 6, 'and the next one begins')
  await server.pass(10_000)
  await server.coordinator.over
  t.match(server.coordinator.standing(), {
    state: 'finished',
    round: 3,
    history: [{ counted: 3 }, { abandoned: /1 of 2/ }, { abandoned: '0 of 2 answers came' }],
  })
  t.match(await d.link.next({ ...d.known, working: 3 }, never), { type: 'outcome', round: 3, counted: false })
  t.match(await d.link.next({ ...d.known, working: null, settled: 3 }, never), { type: 'over', round: 3 })
  await world.close()
})

t.test(
  'what began too long ago is refused by its code, whatever it holds, and said so while it is worked on',
  async (t) => {
    const world = await World.open(buffered({ buffer: 1, concurrency: 2, maxStaleness: 1 }))
    const { server } = world
    const [slow, quick] = [...(await server.atWork()).keys()] as [string, string]
    const notice = await world.one(slow).asked()
    const say = () => world.one(slow).link.say({ type: 'working', round: 1, step: 1, steps: 2 }, never)
    await world.one(quick).arrive()
    await server.settled()
    t.same(await say(), { type: 'taken' }, 'one version behind')
    const next = [...(await server.atWork()).keys()].find((name) => name !== slow)!
    await world.one(next).arrive()
    await server.settled()
    t.match(await say(), { type: 'refused', code: 'E_STALE' }, 'two versions behind')
    t.ok((await server.atWork()).has(slow), 'which changes nothing')
    const work = await world.one(slow).work(notice)
    const twice = [
      await world.one(slow).answer(1, work),
      await world
        .one(slow)
        .answer(1, work)
        .catch((error: FedloraError) => ({ code: error.code })),
    ]
    t.match(twice[0], { type: 'refused', code: 'E_STALE', why: /too old/ })
    t.match(
      await world.one(slow).link.say({ type: 'answer', round: 1, manifest: work.manifest }, never),
      twice[0]!,
      'the same word, the same reply',
    )
    const one = world.one(slow)
    t.match(await one.link.next({ ...one.known, working: 1 }, never), {
      type: 'outcome',
      counted: false,
      why: /too old/,
    })
    await world.one([...(await server.atWork()).keys()].find((name) => name !== slow)!).arrive()
    await server.settled()
    const last = (await server.all('commit')).at(-1)!
    t.notOk(last.counted.includes(slow))
    t.same((last.report as { dropped: number[] }).dropped, [six.indexOf(slow)], 'it is dropped, and no liar')
    t.notOk('refused' in last.report)
    await world.close()
  },
)

t.test('an answer counts once, however often it is said, also behind its step; another one does not', async (t) => {
  const world = await World.open(buffered({ buffer: 2, concurrency: 4 }))
  const { server } = world
  const [name, second] = [...(await server.atWork()).keys()] as [string, string]
  const one = world.one(name)
  const work = await one.work(await one.asked())
  const say = () => one.link.say({ type: 'answer', round: 1, manifest: work.manifest }, never)
  t.equal(await codeOf(say()), 'E_BLOB_MISSING')
  t.same([await one.answer(1, work), await say()], [{ type: 'taken' }, { type: 'taken' }])
  const other = { ...work.manifest, answer: { ...work.manifest.answer, tokens: 77 } }
  t.match(await one.link.say({ type: 'answer', round: 1, manifest: other }, never), { code: 'E_ALREADY_COUNTED' })
  const waits = new AbortController()
  const waiting = one.link.next({ ...one.known, working: 1 }, waits.signal)
  await world.one(second).arrive()
  t.same(await waiting, { type: 'outcome', round: 1, counted: true }, 'when its step is made')
  t.same(await say(), { type: 'taken' })
  t.equal((await server.all('accepted')).filter(({ client }) => client === name).length, 1)
  t.same(
    (await server.all('commit')).map(({ counted }) => counted),
    [[name, second].sort()],
  )
  await server.reopen()
  t.same(await say(), { type: 'taken' }, 'of another server as well')
  t.same(await one.link.next({ ...one.known, working: 1 }, never), { type: 'outcome', round: 1, counted: true })
  await world.close()
})

t.test('answers that come while a step is made count in the next', async (t) => {
  const world = await World.open(buffered({ buffer: 1, concurrency: 3 }))
  const { server } = world
  const three = [...(await server.atWork()).keys()].map((name) => world.one(name))
  const words = []
  for (const one of three) {
    const { manifest, path } = await one.work(await one.asked())
    await one.link.upload(manifest.blob!, path, never)
    words.push(() => one.link.say({ type: 'answer', round: 1, manifest }, never))
  }
  t.same(await Promise.all(words.map((say) => say())), Array(3).fill({ type: 'taken' }))
  await server.settled()
  t.same(
    (await server.all('accepted')).map(({ staleness }) => staleness),
    [0, 1, 2],
  )
  t.same(
    (await server.all('commit')).map(({ counted }) => counted),
    three.map(({ name }) => [name]),
  )
  await world.close()
})

t.test('who is shut out is waited for no longer; what it has answered counts', async (t) => {
  const world = await World.open(buffered({ buffer: 2, concurrency: 4 }, { clients: { minimum: 4 } }))
  await world.server.pass(0)
  const { server } = world
  const [gone, answered, third] = [...(await server.atWork()).keys()] as [string, string, string]
  await world.one(answered).arrive()
  await server.coordinator.revoke(answered)
  await server.coordinator.revoke(gone)
  await server.settled()
  t.notOk((await server.atWork()).has(gone))
  t.equal((await server.atWork()).size, 4, 'others are asked')
  await world.one(third).arrive()
  await server.settled()
  t.same(
    (await server.all('commit')).map(({ counted }) => counted),
    [[answered, third].sort()],
  )
  t.equal(await codeOf(world.one(gone).link.next(world.one(gone).known, never)), 'E_REVOKED')
  t.equal((await server.atWork()).has(answered), false)
  await world.close()
})

t.test('paused: nobody is asked, and what comes is taken; a buffer that is ended counts for nothing', async (t) => {
  const world = await World.open(buffered({ buffer: 3, concurrency: 4 }))
  const { server } = world
  t.equal(await codeOf(server.coordinator.abandonRound()), 'nothing')
  await server.settled()
  t.match(await server.all('abandon'), [{ round: 1, why: 'operator ended the round' }])
  t.same([...(await server.atWork()).values()], [1, 1, 1, 1], 'those at work go on')
  await server.coordinator.pause()
  const first = [...(await server.atWork()).keys()]
  await world.one(first[0]!).arrive()
  await server.settled()
  t.equal((await server.atWork()).size, 3, 'nobody takes its place')
  await server.coordinator.abandonRound('boss')
  await server.settled()
  t.match((await server.all('abandon'))[1], { round: 2, why: 'boss ended the round' })
  const one = world.one(first[0]!)
  t.match(await one.link.next(one.known, never), { type: 'outcome', round: 1, counted: false, why: /boss/ })
  for (const name of first.slice(1)) await world.one(name).arrive()
  await server.settled()
  t.same(
    (await server.all('commit')).map(({ counted }) => counted),
    [first.slice(1).sort()],
    'a full buffer is a step',
  )
  t.equal((await server.atWork()).size, 0)
  t.equal((await server.all('exhausted')).length, 0, 'nobody is left, and yet it waits')
  t.equal(await codeOf(server.coordinator.abandonRound()), 'E_ROUND_CLOSED', 'nothing is under way')
  await server.coordinator.resume()
  t.equal((await server.atWork()).size, 4)
  await world.close()
})

t.test('stopped: nothing of the buffer counts, and everyone is told', async (t) => {
  const world = await World.open(buffered({ buffer: 3, concurrency: 4 }))
  const { server } = world
  const [answered, working] = [...(await server.atWork()).keys()] as [string, string]
  await world.one(answered).arrive()
  await world.one(working).asked()
  await server.coordinator.stop('boss', 'enough')
  await server.coordinator.over
  t.match(await server.all('abandon'), [{ round: 1, why: 'enough' }])
  for (const name of [answered, working]) {
    const { link, known } = world.one(name)
    t.match(await link.next({ ...known, working: 1 }, never), {
      type: 'outcome',
      round: 1,
      counted: false,
      why: 'enough',
    })
    t.match(await link.next({ settled: 1, working: null, heard: 0 }, never), { type: 'over', round: 1, why: 'enough' })
  }
  await server.reopen()
  await server.coordinator.over
  t.match(server.coordinator.standing(), { state: 'finished', waitsFor: 'enough' })
  await world.close()
  const idle = await World.open(buffered({ buffer: 3, concurrency: 4 }), ['a'])
  await idle.server.coordinator.stop('boss', 'enough')
  await idle.server.coordinator.over
  t.equal((await idle.server.all('abandon')).length, 0, 'nothing had begun')
  await idle.close()
})

t.test('somebody who comes later is asked when there is room', async (t) => {
  const world = await World.open(buffered({ buffer: 2, concurrency: 2 }, { clients: { minimum: 2, deadline: null } }), [
    'a',
  ])
  const { server } = world
  t.equal((await server.all('start')).length, 0)
  t.match(server.coordinator.standing(), { state: 'waiting', waitsFor: '1 more client; 1 of 2 have joined' })
  await world.join('b')
  t.same([...(await server.atWork()).keys()].sort(), ['a', 'b'])
  await world.one('a').arrive()
  await world.join('c')
  t.same([...(await server.atWork()).keys()].sort(), ['b', 'c'])
  await world.one('c').arrive()
  await server.settled()
  const [commit] = await server.all('commit')
  t.match(commit!.report, {
    clients: [
      { client: 0, name: 'a', staleness: 0 },
      { client: 2, name: 'c', staleness: 0 },
    ],
  })
  await world.close()
})

t.test('blobs stay as long as somebody is at work on them, or they count, and no longer', async (t) => {
  const world = await World.open(buffered({ buffer: 1, concurrency: 2 }))
  const { server } = world
  const quick = async () => {
    const name = [...(await server.atWork()).keys()].find((name) => name !== slow)!
    await world.one(name).arrive()
    await server.settled()
    return name
  }
  let slow = ''
  await quick()
  slow = [...(await server.atWork()).entries()].find(([, round]) => round === 2)![0]
  const { vectors } = (await world.one(slow).asked()).offer
  const id = vectors.adapter!.blob
  const other = await quick()
  await quick()
  const third = (await server.all('start')).find(({ round }) => round === 3)!.work[0]!.offer.vectors.adapter!.blob
  t.equal(await server.blobs.sizeOf(third), undefined, 'nobody is at work on that version')
  await server.reopen()
  t.ok((await world.one(slow).fetch(vectors.adapter!)).length > 0, 'versions later, of another server')
  t.equal(await codeOf(server.coordinator.read(other, id, 0)), 'E_BLOB_MISSING', 'and nobody else gets it')
  await world.one(slow).arrive()
  await server.settled()
  t.equal(await server.blobs.sizeOf(id), undefined, 'then it goes')
  await world.close()
})

t.test('what makes no sense is refused before anybody is asked, in the words of simulate', async (t) => {
  const refused = async (config: CoordinatorOptions, message: RegExp) => {
    const error = await new Timeless(config).open().then(
      () => undefined,
      (error: FedloraError) => error,
    )
    t.match(error, { code: 'E_CONFIG', message })
  }
  await refused(
    buffered({ buffer: 3, concurrency: 2 }),
    /^asynchronous\.buffer: got 3, expected at most 2, the clients at work/,
  )
  await refused(buffered({ buffer: 0, concurrency: 2 }), /buffer/)
  await refused(
    buffered({ buffer: 2, concurrency: 2 }, { clients: { over: 1.5 } }),
    /^clients\.over: a buffer has no round/,
  )
  await refused(buffered({ buffer: 2, concurrency: 2 }, { federation: { cohort: 3 } }), /asynchronous excludes.*cohort/)
  await refused(
    buffered({ buffer: 2, concurrency: 4 }, { federation: { algorithm: 'scaffold' } }),
    /asynchronous excludes.*scaffold/,
  )
  await refused(
    buffered(
      { buffer: 2, concurrency: 4 },
      { federation: { privacy: { level: 'client', noiseMultiplier: 1, clip: 1, delta: 1e-5 } } },
    ),
    /asynchronous excludes.*privacy/,
  )
  await refused(
    buffered({ buffer: 2, concurrency: 4 }, { federation: { robust: { rule: 'krum', f: 1 } } }),
    /^robust:.*asynchronous\.buffer/,
  )
})

t.test('the config file of the documents is one', async (t) => {
  const text = readFileSync(new URL('../../docs/federations.md', import.meta.url), 'utf8')
  const block = text.match(/```yaml\n(name: [\s\S]*?)```/)![1]!
  const config = parse(block) as Record<string, unknown>
  const { federation, clients } = parseServerOptions(config).coordinator
  t.match(federation, { rounds: 100, asynchronous: { buffer: 4, concurrency: 8, maxStaleness: 10, exponent: 0.5 } })
  t.equal(clients.deadline, 1800)
})
