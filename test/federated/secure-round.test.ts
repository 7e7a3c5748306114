/** Secure aggregation over links: the sum is the mean of what clients kept to themselves; who dies says the same again; who is lied to gives nothing away. */
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { ClientLink } from '../../src/federated/link/link.js'
import type { Notice } from '../../src/federated/link/messages.js'
import { pack, unpack } from '../../src/federated/link/packed.js'
import { systemTime } from '../../src/federated/link/retry.js'
import { always } from '../../src/federated/participant/eligibility.js'
import type { ParticipantEvent } from '../../src/federated/participant/events.js'
import { ClientFolder } from '../../src/federated/participant/folder.js'
import { Participant } from '../../src/federated/participant/participant.js'
import { Random } from '../../src/random/random.js'
import { temporaryFolder } from '../support/train.js'
import { Crashing } from './support/crash.js'
import { dyingLink } from './support/dying-link.js'
import { fakeWorkshop } from './support/fake-workshop.js'
import { SecureServer } from './support/secure-server.js'

const root = temporaryFolder('secure-round')
t.teardown(() => rmSync(root, { recursive: true }))
const names = ['a', 'b', 'c']

async function takePart(
  server: SecureServer,
  client: string,
  folder: string,
  change: (link: ClientLink) => ClientLink = (link) => link,
  events: ParticipantEvent[] = [],
) {
  const opened = await ClientFolder.open(folder)
  const parts = {
    ...{ link: { ...change(server.link(client)), identity: server.identity(client) }, client },
    ...{ folder: opened, workshop: fakeWorkshop(), eligibility: always, time: systemTime, random: () => 0 },
  }
  try {
    const { signal } = new AbortController()
    await new Participant(parts, { signal, emit: (event) => events.push(event) }).run()
  } finally {
    opened.close()
  }
  return events
}

/** What clients hold of round r: [r, i, −1, ½] and half of what they kept of the round before; the mean, all of one weight. */
function expected(rounds: number): number[][] {
  let kept = names.map(() => [0, 0, 0, 0])
  return Array.from({ length: rounds }, (_, r) => {
    kept = kept.map((before, i) => [r + 1, i, -1, 0.5].map((value, k) => value + 0.5 * before[k]!))
    return [0, 1, 2, 3].map((k) => kept.reduce((sum, values) => sum + values[k]!, 0) / names.length)
  })
}

/** A step of the grid: 2·clip / (2^bits − 1), for each of the clients. */
const tolerance = (2 * 8) / (2 ** 16 - 1)
const isClose = (mean: unknown, values: readonly number[]) =>
  mean instanceof Float32Array &&
  mean.length === values.length &&
  mean.every((value, i) => Math.abs(value - values[i]!) <= tolerance)

t.test('the mean of masked updates, over two rounds', async (t) => {
  const server = new SecureServer(names, 2)
  const events = await Promise.all(names.map((name) => takePart(server, name, join(root, `plain-${name}`))))
  for (const [round, values] of expected(2).entries())
    t.ok(isClose(server.means[round], values), `round ${round + 1}: ${server.means[round]}`)
  t.notOk(isClose(server.means[0], expected(2)[1]!), 'canary: another mean is told apart')
  t.same(server.faults, [])
  t.match(
    events[0]!.find(({ type }) => type === 'sent'),
    { masked: true, vectors: [{ name: 'adapter', length: 4, bytes: 16 }] },
  )
  t.equal(events.flat().filter((event) => event.type === 'outcome' && event.counted).length, 6)
})

t.test(
  'a client killed at every change of a file and around every call: the same mean, and no word said twice otherwise',
  async (t) => {
    let survived = false
    for (let at = 1; !survived; at += 6) {
      const server = new SecureServer(names, 1)
      const folder = join(root, `killed-${at}`)
      const crashing = new Crashing(at, folder)
      const others = names.slice(1).map((name) => takePart(server, name, join(root, `beside-${at}-${name}`)))
      const dying = (link: ClientLink) => dyingLink(link, (name) => crashing.point(name))
      survived = await crashing.during(() =>
        takePart(server, 'a', folder, dying).then(
          () => true,
          () => false,
        ),
      )
      if (existsSync(folder))
        for (const file of readdirSync(folder)) if (file.startsWith('lock.')) rmSync(join(folder, file))
      await takePart(server, 'a', folder)
      await Promise.all(others)
      const right = server.faults.length === 0 && isClose(server.means[0], expected(1)[0]!)
      if (!right) t.fail(`killed at ${at}, ${crashing.points.at(-1)}: ${server.faults} ${server.means}`)
      if (survived) t.ok(at > 60, `${at} points`)
    }
  },
)

t.test(
  'a client that is told of another set of survivors gives nothing away, and the round fails in words',
  async (t) => {
    const server = new SecureServer(names, 1)
    server.lie = (client, message) =>
      client === 'a' && message.type === 'survivors' ? { ...message, survivors: [message.client, 99] } : message
    const controller = new AbortController()
    const events: ParticipantEvent[] = []
    const ended = await Promise.allSettled(
      names.map((name) => takePart(server, name, join(root, `lied-${name}`), endless(controller), events)),
    )
    t.match(
      ended,
      names.map(() => ({ status: 'rejected', reason: { message: 'long enough' } })),
    )
    t.match(
      events.filter(({ type }) => type === 'warning'),
      [{ message: /survivors are no ascending list/ }],
    )
    t.equal(server.means[0], undefined)
  },
)

/** Ends a client that has asked a hundred times for what never comes. */
function endless(controller: AbortController) {
  let asked = 0
  return (link: ClientLink): ClientLink => ({
    ...link,
    next: async (...args) => {
      if (++asked > 300 || controller.signal.aborted) {
        controller.abort()
        throw new Error('long enough')
      }
      return await link.next(...args)
    },
  })
}

t.test('what is told twice is heard once', async (t) => {
  const server = new SecureServer(names, 1)
  const repeated: number[] = []
  const twice = (link: ClientLink): ClientLink => {
    let again: Notice | undefined
    return {
      ...link,
      next: async (...args) => {
        const told = again ?? (await link.next(...args))
        again = again === undefined && told?.type === 'secure' ? told : undefined
        if (again?.type === 'secure') repeated.push(again.number)
        return told
      },
    }
  }
  const events: ParticipantEvent[] = []
  const part = (name: string) => takePart(server, name, join(root, `twice-${name}`), twice, events)
  await Promise.all(names.map(part))
  t.same(server.faults, [])
  t.same([...new Set(repeated)].sort(), [1, 2, 3, 4], 'canary: every message')
  t.same(
    events.filter(({ type }) => type === 'warning' || type === 'failed'),
    [],
  )
  t.ok(isClose(server.means[0], expected(1)[0]!))
})

t.test('packed data: what goes in comes out; anything else is refused', async (t) => {
  const value = {
    a: [1, -2.5, null, 'ü\n'],
    b: { 7: Uint8Array.of(1, 2), x: Uint8Array.of() },
    c: Uint8Array.of(10, 10),
    d: true,
  }
  t.same(unpack(pack(value)), value)
  const good = pack(value)
  const damaged = [
    Buffer.from(''),
    Buffer.from('{}'),
    Buffer.from('{"$bytes":1}\n'),
    Buffer.from('{"$bytes":-1}\n'),
    Buffer.from('{"$bytes":1e99}\n'),
    Buffer.from('{"$bytes":"2"}\nab'),
    Buffer.from('{"$bytes":0.5}\na'),
    Buffer.from('{\n}'),
    Buffer.concat([good, Buffer.from('x')]),
    good.subarray(0, good.length - 1),
  ]
  for (const bytes of damaged) t.throws(() => unpack(bytes), { code: 'E_FORMAT' }, bytes.toString().slice(0, 20))
  const random = new Random(5, 1)
  let refused = 0
  for (let i = 0; i < 20_000; i++) {
    const mutated = Buffer.from(good)
    for (let k = 0; k <= i % 4; k++) mutated[random.word() % mutated.length] = random.word() & 255
    try {
      unpack(mutated)
    } catch (error) {
      if ((error as { code?: string }).code !== 'E_FORMAT') throw error
      refused++
    }
  }
  t.ok(refused > 5000, `${refused} refused`)
})
