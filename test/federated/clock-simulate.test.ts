/** A federation in virtual time: what a round takes, who is waited for, what becomes of late answers; and what must change no bit. */
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
const root = temporaryFolder('clock-simulate')
t.teardown(() => {
  model.dispose()
  rmSync(root, { recursive: true })
})

const run = async (variation: Variation) =>
  await outcomeOf(await federation(model, { evaluate: undefined, ...variation } as Variation))

const clock = {
  compute: { lognormal: [100, 1] },
  bandwidth: { up: 1e4, down: 5e4 },
  latency: 0.25,
} satisfies Variation['clock']
const timeOf = (round: RoundEvent) => round.clock!

t.test('a clock that nobody waits by changes no bit, and tells the time of every round', async (t) => {
  const without = await run({})
  const plain = await run({ clock })
  t.ok(bytesOf(plain.vector).equals(bytesOf(without.vector)))
  t.same(timeless(plain.rounds.map(({ clock: _, ...rest }) => rest)), timeless(without.rounds), 'and no other figure')
  t.equal(without.rounds[0]!.clock, undefined)
  t.equal(without.result.clock, null)
  let now = 0
  let joules = 0
  for (const { clock, clients, bytesUp, bytesDown, dropped } of plain.rounds) {
    t.equal(clock!.start, now)
    const counted = clock!.clients.filter(({ outcome }) => outcome === 'counted')
    t.same(counted.map(({ client }) => client).sort(), clients.map(({ client }) => client).sort())
    t.same(clock!.clients.filter(({ outcome }) => outcome === 'absent').length, dropped.length)
    t.equal(clock!.end, Math.max(...counted.map(({ finish }) => finish!)), 'the slowest ends it')
    t.same([clock!.bytesUp, clock!.bytesDown], [bytesUp, bytesDown])
    const { upload, download, compute } = clock!.seconds
    t.ok(
      Math.abs(upload - (bytesUp / 1e4 + 0.25 * clients.length)) <= 1e-9 * upload,
      'bytes over bandwidth, and latency',
    )
    const energy = 10 * compute + 2 * (upload + download)
    t.ok(Math.abs(clock!.joules - energy) <= 1e-9 * energy)
    joules += clock!.joules
    now = clock!.end
  }
  t.equal(plain.result.clock!.seconds, now)
  t.ok(Math.abs(plain.result.clock!.joules - joules) <= 1e-9 * joules)
})

const racing = { ...clock, over: 1.5 }

t.test('over-selection takes the first; neither real time nor the order of the list changes a bit', async (t) => {
  const first = await run({ clock: racing, absence: 0 })
  for (const round of first.rounds) {
    const { clients, end } = timeOf(round)
    t.equal(clients.length, 6, '1.5 × 4 are asked')
    t.same(
      clients.map(({ outcome }) => outcome),
      ['counted', 'counted', 'counted', 'counted', 'late', 'late'],
    )
    t.equal(end, clients[3]!.finish, 'the fourth closes it')
    t.ok(clients.every(({ finish }, i) => i === 0 || clients[i - 1]!.finish! <= finish!))
    t.same(
      round.dropped,
      clients
        .slice(4)
        .map(({ client }) => client)
        .sort(),
    )
  }
  const together = await run({ clock: racing, absence: 0, concurrency: 5, outputDir: join(root, 'together') })
  t.ok(bytesOf(together.vector).equals(bytesOf(first.vector)))
  t.same(timeless(together.rounds), timeless(first.rounds))
  const { clients, ...options } = await federation(model, { clock: racing, absence: 0 })
  const named = clients.map((train, i) => ({ name: `client-${i}`, train }))
  const reversed = simulate({ ...options, clients: [...named].reverse(), evaluate: undefined })
  const events: RoundEvent[] = []
  for await (const event of reversed) if (event.type === 'round') events.push(event)
  using adapter = (await reversed).adapter
  t.ok(bytesOf(adapter.vector()).equals(bytesOf(first.vector)), 'the order of the list')
  t.same(nameless(timeless(events)), nameless(timeless(first.rounds)))
  const all = await run({ clock, absence: 0 })
  t.notOk(bytesOf(all.vector).equals(bytesOf(first.vector)), 'canary: who counts is seen')
})

t.test('a deadline: late answers are discarded, or count later, scaled down', async (t) => {
  const base = await run({ clock, absence: 0, cohort: 6 })
  const finishes = timeOf(base.rounds[0]!).clients.map(({ finish }) => finish!)
  const kept = await run({ clock: { ...clock, deadline: 1e9 }, absence: 0, cohort: 6 })
  t.ok(bytesOf(kept.vector).equals(bytesOf(base.vector)), 'one that everybody keeps changes no bit')
  const deadline = (finishes[3]! + finishes[4]!) / 2
  const discard = await run({ clock: { ...clock, deadline }, absence: 0, cohort: 6 })
  const [first] = discard.rounds
  t.same([timeOf(first!).end, first!.clients.length, first!.dropped.length], [deadline, 4, 2])
  t.same(timeOf(discard.rounds[1]!).start, deadline)
  const late = { maxStaleness: 3 }
  const discount = await run({ clock: { ...clock, deadline, late }, absence: 0, cohort: 6 })
  const stale = discount.rounds.flatMap((round) =>
    timeOf(round).clients.filter(({ outcome, staleness }) => outcome === 'counted' && staleness > 0),
  )
  t.ok(stale.length > 0, `${stale.length} answers of earlier rounds count`)
  t.notOk(bytesOf(discount.vector).equals(bytesOf(discard.vector)))
  const asked = discount.rounds.flatMap((round) => timeOf(round).clients.map(({ name, round: of }) => `${name} ${of} `))
  const counts = discount.rounds.flatMap((round) =>
    timeOf(round)
      .clients.filter(({ outcome }) => outcome === 'counted')
      .map(({ name, round: of }) => `${name} ${of}`),
  )
  t.equal(new Set(counts).size, counts.length, 'nothing counts twice')
  t.ok(asked.length > counts.length)
  for (const round of discount.rounds) {
    const busy = timeOf(round)
      .clients.filter(({ round: of }) => of === round.round)
      .map(({ name }) => name)
    const owed = timeOf(round)
      .clients.filter(({ round: of }) => of < round.round)
      .map(({ name }) => name)
    t.same(
      owed.filter((name) => busy.includes(name)),
      [],
      'who still works is not asked',
    )
  }
  const whole = await run({ clock: { ...clock, deadline, late: { ...late, exponent: 0 } }, absence: 0, cohort: 6 })
  t.notOk(bytesOf(whole.vector).equals(bytesOf(discount.vector)), 'canary: the scale is seen')
  const never = await run({
    clock: { ...clock, deadline: 1e-3, minimumAnswers: 1 },
    absence: 0,
    serverOptimizer: 'momentum',
  })
  using initial = model.createAdapter({ rank: 4, alpha: 8, seed: 2 })
  t.ok(bytesOf(never.vector).equals(bytesOf(initial.vector())), 'abandoned rounds leave the state as it is')
  t.match(never.rounds[0]!.abandoned, /0 of 1/)
  t.equal(never.result.clock!.seconds, 5 * 1e-3)
})

t.test('stopped after every round and resumed, it ends in the same bytes', async (t) => {
  const finishes = timeOf((await run({ clock, cohort: 6 })).rounds[0]!).clients.flatMap(({ finish }) => finish ?? [])
  const options = {
    cohort: 6,
    clock: { ...clock, deadline: finishes[2]! * 1.01, late: { maxStaleness: 4 }, minimumAnswers: 2 },
    checkpointEvery: 2,
  } satisfies Variation
  const whole = join(root, 'whole')
  const expected = await run({ ...options, outputDir: whole })
  for (const last of [1, 2, 3, 4]) {
    const folder = join(root, `stopped-${last}`)
    const controller = new AbortController()
    const running = simulate(
      await federation(model, {
        ...options,
        evaluate: undefined,
        outputDir: folder,
        signal: controller.signal,
      } as Variation),
    )
    await t.rejects(
      async () => {
        for await (const event of running) if (event.type === 'round' && event.round === last) controller.abort()
      },
      { name: 'AbortError' },
    )
    const resumed = await run({ ...options, resumeFrom: folder, concurrency: 3 })
    t.ok(bytesOf(resumed.vector).equals(bytesOf(expected.vector)))
    const kept = /\.(f32|flup|safetensors|answer)$/
    t.same(filesOf(folder, kept), filesOf(whole, kept))
    t.ok(Object.keys(filesOf(whole, /\.answer$/)).length > 0, 'some answers wait')
    t.same(eventsOf(folder), eventsOf(whole))
    t.same(timeless(resumed.result), timeless(expected.result))
  }
  await t.rejects(run({ ...options, clock: { ...options.clock, compute: 7 }, resumeFrom: whole }), {
    code: 'E_CHECKPOINT',
    message: /federation\.clock\.compute/,
  })
})

t.test('windows: who never works is not asked or never answers; tiers: a cohort is of one speed', async (t) => {
  const windows = await run({ clock: { ...clock, availability: { period: 50, share: 0.3 } }, absence: 0 })
  t.ok(windows.rounds.some((round) => timeOf(round).seconds.wait > 0))
  const tiers = await run({ clock: { ...clock, tiers: 3 }, absence: 0, cohort: 2 })
  const members = new Map<number, Set<string>>()
  for (const round of tiers.rounds) {
    const { tier, clients } = timeOf(round)
    const known = members.get(tier!) ?? new Set()
    for (const { name } of clients) known.add(name)
    members.set(tier!, known)
  }
  t.ok(members.size > 1)
  t.ok([...members.values()].every((names) => names.size === 2))
  await t.rejects(run({ clock: { ...clock, tiers: 2 } }), {
    code: 'E_CONFIG',
    message: /clock\.tiers: 2 tiers of 6 clients have 3/,
  })
  await t.rejects(run({ clock: { ...clock, minimumAnswers: 5 } }), {
    code: 'E_CONFIG',
    message: /minimumAnswers: got 5/,
  })
  const federationOf = (variation: Variation) => federation(model, variation)
  const rolora = await federationOf({ algorithm: 'rolora', clock: { ...clock, over: 1.5, late: {} } })
  t.throws(() => simulate(rolora), { code: 'E_CONFIG', message: /clock\.late.*rolora.*discard/ })
  await t.rejects(run({ clock: { trace: join(root, 'none.csv') } }), { code: 'E_MISSING' })
})
