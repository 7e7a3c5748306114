/** Workers screen answers and sum them: with the bits of a server that does it itself, whoever dies, repeats, or hands back nonsense. */
import t, { type Test } from 'tap'
import type { Record as Entry } from '../../src/federated/coordinator/records.js'
import { InProcessLink } from '../../src/federated/link/in-process.js'
import type { ClientLink } from '../../src/federated/link/link.js'
import { type Done, readAssignment, writeAssignment } from '../../src/federated/workers/assignment.js'
import { foldAssignment } from '../../src/federated/workers/fold.js'
import { MemoryQueue } from '../../src/federated/workers/memory.js'
import type { Taken } from '../../src/federated/workers/work-queue.js'
import { type WorkerEvent, workOff } from '../../src/federated/workers/worker.js'
import { type Carried, countedOnce, type Dies, Mortal, options, resultOf, takePart } from './support/conformance.js'
import { queueConformance } from './support/queue-conformance.js'
import { drifts, SmallParticipant } from './support/small-participant.js'

const names = ['a', 'b', 'c', 'd']
const alive = setInterval(() => {}, 1000) // what waits for time keeps no process
t.teardown(() => clearInterval(alive))

type Each = (taken: Taken, mortal: Mortal) => Promise<unknown>
interface Variation {
  answers?: number
  workers?: number
  deadline?: number
  dies?: Dies
  /** What a worker does with each assignment, in the place of its work. */
  each?: Each
  config?: Parameters<typeof options>[0]
}

const all = { ...options().federation, cohort: 4 }

/** A federation with workers. */
async function worked(t: Test, { answers = 3, workers = 1, deadline = 60, dies, each, config }: Variation) {
  const queue = new MemoryQueue({ silence: 400, pause: 5 })
  queue.close = async () => {} // it outlives its servers
  const given = { federation: all, ...config, workers: { answers, deadline } }
  const mortal = new Mortal(options(given), dies, { queue })
  await mortal.open()
  const stop = new AbortController()
  const events: WorkerEvent[] = []
  const { blobs } = mortal
  const working = Array.from({ length: workers }, async () => {
    const { signal } = stop
    if (each === undefined) return await workOff({ queue, blobs, signal, onEvent: (event) => events.push(event) })
    for (let taken = await queue.take(signal); taken; taken = await queue.take(signal)) await each(taken, mortal)
  })
  t.teardown(async () => {
    stop.abort()
    await Promise.all(working)
    await mortal.close()
  })
  const carried: Carried = {
    join: (name) => joined(mortal, name),
    close: async () => {},
  }
  return { mortal, carried, events, queue }
}

async function joined(mortal: Mortal, name: string): Promise<ClientLink> {
  for (;;) {
    try {
      const server = await mortal.alive()
      const { token } = await server.invite(name, 60)
      await server.enroll(token, `key of ${name}`)
      return new InProcessLink(mortal.server, name)
    } catch {
      await new Promise<void>((resolve) => setImmediate(resolve)) // it has died
    }
  }
}

/** Runs one to its end. */
async function ended(t: Test, variation: Variation) {
  const { mortal, carried, events } = await worked(t, variation)
  const participants = await takePart(carried)
  await (await mortal.alive()).over
  return { mortal, events, participants, records: await mortal.records(), result: await resultOf(mortal) }
}

const done = async (taken: Taken, { blobs }: Mortal, change: (done: Done) => Done = (done) => done) => {
  const assignment = readAssignment(await blobs.read(taken.id))
  await taken.done(change(await foldAssignment(taken.id, assignment, blobs)))
}

const reference = new Mortal(options({ federation: all }))
await reference.open()
await takePart({ join: (name) => joined(reference, name), close: async () => {} })
await reference.server().over
await reference.close()
const expected = await resultOf(reference)
const first = (await reference.records()).flatMap((record) => (record.type === 'commit' ? [record.checkpoint] : []))[0]
const count = (records: readonly Entry[], type: Entry['type']) => records.filter((one) => one.type === type).length
const troubles = ({ events }: Mortal) => events.flatMap((event) => (event.type === 'trouble' ? [event] : []))

t.test('a queue in memory', (t) =>
  queueConformance(t, async () => {
    const queue = new MemoryQueue({ silence: 1000, pause: 50 })
    queue.close = async () => {}
    return { queue, worker: async () => queue, again: async () => queue }
  }),
)

t.test('any number of workers, and of answers at a time: the bits of none', async (t) => {
  t.equal(expected.commits, 3)
  for (const [answers, workers, folds] of [
    [1, 1, 12],
    [1, 3, 12],
    [3, 1, 6],
    [8, 2, 3],
  ] as const) {
    const { mortal, records, result, events } = await ended(t, { answers, workers })
    t.same(result, expected, `${answers} at a time, ${workers} workers`)
    t.same([count(records, 'received'), count(records, 'folded'), count(records, 'accepted')], [12, folds, 0])
    t.same(troubles(mortal), [])
    t.equal(events.filter(({ type }) => type === 'folded').length, folds, 'workers did it')
    const told = mortal.events.flatMap((event) => (event.type === 'client' ? [event.name] : []))
    t.equal(told.length, 12, 'and every answer is told')
  }
})

t.test('canary: a worker that leaves one out makes other bits, and is found out', async (t) => {
  for (const left of [
    [0, -1],
    [1, undefined],
  ] as const) {
    const { result, mortal } = await ended(t, {
      deadline: 1,
      each: (taken, mortal) => done(taken, mortal, (done) => ({ ...done, accepted: done.accepted.slice(...left) })),
    })
    t.match(troubles(mortal)[0], { code: 'E_PROTOCOL', message: /other answers/ })
    t.same(result, expected, 'the server did it')
  }
})

t.test('a worker that dies: another does it', async (t) => {
  const seen = new Set<string>()
  const { result, records } = await ended(t, {
    workers: 2,
    each: async (taken, mortal) => {
      if (seen.size % 2 === 0 && !seen.has(taken.id)) return seen.add(taken.id)
      seen.add(taken.id)
      await done(taken, mortal)
    },
  })
  t.same(result, expected)
  t.equal(count(records, 'folded'), 6)
})

t.test('handed back again and again, also of rounds before: counted once', async (t) => {
  const results: (() => Promise<void>)[] = []
  const { result, records, mortal } = await ended(t, {
    answers: 2,
    each: async (taken, mortal) => {
      results.push(() => done(taken, mortal).catch(() => {}))
      for (const again of results) await again()
      await results.at(-1)!()
    },
  })
  t.same(result, expected)
  t.equal(count(records, 'folded'), 6)
  t.same(troubles(mortal), [])
})

t.test('nobody works: the server does it when its patience ends, and says so', async (t) => {
  const { result, mortal, records } = await ended(t, { answers: 4, workers: 0, deadline: 1 })
  t.same(result, expected)
  t.equal(count(records, 'folded'), 3)
  t.match(troubles(mortal), Array(3).fill({ code: 'E_UNREACHABLE', message: /no worker.*4 answers/ }))
})

t.test('a worker that hands back nonsense: told, and done by the server', async (t) => {
  const other = (bytes: Uint8Array) => ({ partial: bytes })
  const lies: Record<string, (done: Done, mortal: Mortal) => Done | Promise<Done>> = {
    'no sums': (done) => ({ ...done, partial: null, sums: {} }),
    'sums of another name': (done) => ({ ...done, sums: { other: done.partial!.bytes } }),
    'sums of nobody beside': (done) => ({ ...done, sums: { ...done.sums, z: 0 } }),
    'sums that are not there': (done) => ({ ...done, partial: { blob: '0'.repeat(64), bytes: 5 } }),
    'a client twice': (done) => ({ ...done, accepted: [...done.accepted, done.accepted[0]!] }),
    nobody: (done) => ({ ...done, accepted: [] }),
    'one that is in the sums refused': ({ accepted: [client, ...accepted], ...done }) => ({
      ...done,
      accepted,
      refused: [{ client: client!, code: 'E_SHAPE', why: 'a lie' }],
    }),
    'damaged sums': async (done, { blobs }) => {
      const bytes = Buffer.from(await blobs.read(done.partial!.blob))
      bytes[bytes.length - 3]! ^= 1
      return { ...done, ...other(bytes), partial: await blobs.put(bytes) }
    },
  }
  for (const [name, lie] of Object.entries(lies)) {
    const { result, mortal } = await ended(t, {
      answers: 4,
      deadline: 1,
      config: { federation: { ...all, rounds: 1 } },
      each: async (taken, mortal) => {
        const assignment = readAssignment(await mortal.blobs.read(taken.id))
        await taken.done(await lie(await foldAssignment(taken.id, assignment, mortal.blobs), mortal))
      },
    })
    t.same(result.checkpoint, first, name)
    const told = troubles(mortal).filter(({ message }) => /cannot be merged/.test(message))
    t.equal(told.length, 1, `${name}: ${told[0]?.message}`)
  }
})

t.test('a server that dies at any record goes on to the same end', async (t) => {
  const { mortal } = await ended(t, { answers: 2 })
  for (let at = 2; at <= mortal.appends; at += 2) {
    const when = at % 4 === 0 ? 'before' : 'after'
    const { result, records, mortal } = await ended(t, {
      answers: 2,
      workers: 2,
      dies: (append) => (append === at ? when : undefined),
    })
    t.same(result, expected, `${when} append ${at}`)
    t.equal(mortal.restarts, 1)
    countedOnceFolded(t, records)
  }
  const often = await ended(t, { answers: 2, dies: (append) => (append % 4 === 0 ? 'after' : undefined) })
  t.same(often.result, expected, 'again and again')
  t.ok(often.mortal.restarts > 8)
})

/** What is received is folded once, and what was accepted of it is in the step. */
function countedOnceFolded(t: Test, records: readonly Entry[]): void {
  const plain = records.flatMap((record) =>
    record.type === 'folded'
      ? record.accepted.map((client) => ({ ...record, type: 'accepted', client }) as unknown as Entry)
      : [record],
  )
  countedOnce(t, plain)
}

t.test('answers that lie: taken, screened by a worker, and their client hears why', async (t) => {
  const { carried, mortal } = await worked(t, { answers: 2, config: { federation: { ...all, rounds: 1 } } })
  const [a, b, c, d] = (await Promise.all(
    names.map(async (name) => new SmallParticipant(name, await carried.join(name), drifts)),
  )) as [SmallParticipant, SmallParticipant, SmallParticipant, SmallParticipant]
  for (const one of [a, b, c, d]) await one.open()
  const never = new AbortController().signal
  const noticeOf = async (one: SmallParticipant) => {
    const notice = await one.link.next(one.known, never)
    if (notice?.type !== 'work') throw new Error('no work')
    return notice
  }
  const damage = async (one: SmallParticipant) => {
    const notice = await noticeOf(one)
    const vectors: Record<string, Uint8Array> = {}
    for (const [name, ref] of Object.entries(notice.offer.vectors)) vectors[name] = await one.fetch(ref)
    const answer = await drifts({ ...notice.offer, vectors })
    const bytes = Buffer.from(answer.vectors.adapter!)
    bytes[bytes.length - 1]! ^= 1
    return await one.prepare({ ...answer, vectors: { adapter: bytes } })
  }
  const lie = await damage(b)
  t.same(await b.answer(1, lie), { type: 'taken' }, 'it is durable')
  t.same(await b.answer(1, lie), { type: 'taken' }, 'said twice')
  const nobody = await c.prepare({
    ...(await drifts({
      ...(
        await noticeOf(c)
      ).offer,
      vectors: { adapter: await c.fetch((await noticeOf(c)).offer.vectors.adapter!) },
    })),
    rows: 0,
  })
  t.same(await c.answer(1, nobody), { type: 'taken' })
  t.match(await b.link.next({ ...b.known, working: 1 }, never), {
    type: 'outcome',
    counted: false,
    why: /'adapter'.*CRC|check/i,
  })
  t.match(await c.link.next({ ...c.known, working: 1 }, never), { counted: false, why: /its weight is 0/ })
  t.match(await b.answer(1, lie), { type: 'refused', code: 'E_CHECKSUM' }, 'what it is known to be by now')
  for (const one of [a, d]) t.same(await one.answer(1, await one.work(await noticeOf(one))), { type: 'taken' })
  await mortal.server().over
  t.same((await resultOf(mortal)).counted, [['a', 'd']])
  const round = mortal.events.find(({ type }) => type === 'round') as { refused?: { name: string; code: string }[] }
  t.match(round.refused, [
    { name: 'b', code: 'E_CHECKSUM' },
    { name: 'c', code: 'E_ARGUMENT' },
  ])
  for (const one of [a, b, c, d]) await one.close()
})

t.test('a round that is given up waits for no worker; too few that count abandon it', async (t) => {
  const { carried, mortal } = await worked(t, { workers: 0, config: { federation: { ...all, rounds: 1 } } })
  const one = new SmallParticipant('a', await carried.join('a'), drifts)
  for (const name of ['b', 'c', 'd']) await carried.join(name)
  await one.open()
  const never = new AbortController().signal
  const notice = await one.link.next(one.known, never)
  if (notice?.type !== 'work') throw new Error('no work')
  t.same(await one.answer(1, await one.work(notice)), { type: 'taken' })
  await mortal.server().abandonRound()
  t.match(await one.link.next({ ...one.known, working: 1 }, never), { counted: false, why: /ended the round/ })
  await one.close()
  const few = await worked(t, {
    answers: 4,
    config: { federation: { ...all, rounds: 1, screening: { maxNorm: 1e-9 } } },
  })
  await takePart(few.carried)
  await few.mortal.server().over
  t.match(
    few.mortal.events.find(({ type }) => type === 'round'),
    { abandoned: '0 of 1 answers came in time' },
  )
})

t.test('a server that has no workers any more screens what waits for them', async (t) => {
  const { mortal, carried } = await worked(t, { workers: 0, answers: 4 })
  const participants: SmallParticipant[] = []
  for (const name of names) participants.push(new SmallParticipant(name, await carried.join(name), drifts))
  const never = new AbortController().signal
  for (const one of participants) {
    await one.open()
    const notice = await one.link.next(one.known, never)
    if (notice?.type === 'work') t.same(await one.answer(1, await one.work(notice)), { type: 'taken' })
    one.known.working = 1
  }
  t.match(mortal.server().standing().waitsFor, /round 1: 4 answers are with workers/)
  mortal.change(options({ federation: all }))
  await mortal.reopen()
  await Promise.all(participants.map((one) => one.run()))
  await mortal.server().over
  t.same(await resultOf(mortal), expected)
  for (const one of participants) await one.close()
})

t.test('who needs single answers has no workers, by name', async (t) => {
  const queue = new MemoryQueue()
  for (const [federation, of] of [
    [{ robust: 'median' }, 'robust'],
    [{ secureAggregation: { threshold: 2, clip: 1 } }, 'secureAggregation'],
    [{ asynchronous: { buffer: 2, concurrency: 3 }, cohort: 1 }, 'asynchronous'],
    [{ algorithm: 'flexlora' }, "an algorithm that reads every client's adapter"],
    [
      { algorithm: 'ffa', privacy: { level: 'client', clip: 0.1, noiseMultiplier: 1, delta: 1e-5 }, cohort: 0.5 },
      "privacy.level 'client'",
    ],
  ] as const) {
    const config = options({ federation: { ...options().federation, ...federation }, workers: {} })
    await t.rejects(new Mortal(config, undefined, { queue }).open(), {
      code: 'E_CONFIG',
      details: { of: ['workers', of] },
    })
  }
  await t.rejects(new Mortal(options({ workers: {} })).open(), { code: 'E_CONFIG', message: /workers: .*NATS/ })
})

t.test('an assignment is the same for the same answers, and nothing else is one', async (t) => {
  const empty = { version: 1 as const, run: '0'.repeat(32), round: 1, answers: [] }
  const { id, bytes } = writeAssignment(empty)
  t.same(readAssignment(bytes), empty)
  t.equal(writeAssignment({ ...empty }).id, id)
  t.not(writeAssignment({ ...empty, round: 2 }).id, id)
  for (const wrong of ['', '{}', '[]', JSON.stringify({ ...empty, version: 2 }), JSON.stringify({ ...empty, more: 1 })])
    t.throws(() => readAssignment(Buffer.from(wrong)), { code: 'E_PROTOCOL' }, wrong)
})
