/** Links on which everything goes wrong: the suite of all links over them, and a federation of real clients with the bits of an undisturbed one. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Coordinator } from '../../src/federated/coordinator/coordinator.js'
import { InProcessLink } from '../../src/federated/link/in-process.js'
import type { ClientLink } from '../../src/federated/link/link.js'
import { always } from '../../src/federated/participant/eligibility.js'
import { ClientFolder } from '../../src/federated/participant/folder.js'
import { Participant } from '../../src/federated/participant/participant.js'
import { temporaryFolder } from '../support/train.js'
import { Chaos, ChaosLink, chaosDoor, patient } from './support/chaos-link.js'
import { type Carrier, conformance, Mortal, options, resultOf } from './support/conformance.js'
import { fakeWorkshop } from './support/fake-workshop.js'

/** A client's name and key in a server that may be gone at the moment. */
async function enrolled(server: () => Coordinator, name: string): Promise<void> {
  for (;;) {
    try {
      const { token } = await server().invite(name, 60)
      await server().enroll(token, `key of ${name}`)
      return
    } catch {
      await new Promise<void>((resolve) => setImmediate(resolve))
    }
  }
}

const chaoticLink = (server: () => Coordinator, name: string, chaos: Chaos): ClientLink =>
  new ChaosLink(new InProcessLink(() => chaosDoor(server(), chaos), name), chaos)

const all = new Chaos(1)
const chaotic: Carrier = {
  name: 'chaos',
  deaths: 9,
  open: async (server) => ({
    async join(name) {
      await enrolled(server, name)
      return patient(chaoticLink(server, name, all))
    },
    close: async () => {},
  }),
}

await t.test('the suite of all links', (t) => conformance(t, chaotic))
t.test('everything has gone wrong', async (t) => {
  for (const [kind, times] of Object.entries(all.happened)) t.ok(times > 0, `${kind}: ${times}`)
})

const names = ['a', 'b', 'c', 'd']
const time = { now: () => 0, sleep: () => new Promise<void>((resolve) => setImmediate(resolve)) }

/** A federation of real clients, whose work depends on all that they have kept. */
async function federation(linkOf: (mortal: Mortal, name: string) => ClientLink) {
  const folder = temporaryFolder('chaos')
  const mortal = await new Mortal(options({ federation: { ...options().federation, cohort: 4 } })).open()
  const kept: unknown[] = []
  for (const name of names) await enrolled(mortal.server, name)
  await Promise.all(
    names.map(async (name) => {
      const opened = await ClientFolder.open(join(folder, name))
      const workshop = fakeWorkshop()
      const whole: typeof workshop = {
        ...workshop,
        async work(...args) {
          const { answer, vectors, codec } = await workshop.work(...args)
          const { adapter } = vectors as { adapter: Float32Array }
          return {
            answer: { ...answer, numbers: {}, vectors: { adapter: answer.vectors.adapter! } },
            vectors: { adapter },
            codec,
          }
        },
      }
      const parts = {
        link: linkOf(mortal, name),
        folder: opened,
        workshop: whole,
        eligibility: always,
        time,
        random: () => 0,
      }
      const { counted } = await new Participant(parts, { signal: new AbortController().signal, emit: () => {} }).run()
      kept.push([name, counted])
      opened.close()
    }),
  )
  await mortal.close()
  rmSync(folder, { recursive: true })
  return { result: await resultOf(mortal), kept: kept.sort() }
}

t.test('real clients: the bits of an undisturbed federation, whatever goes wrong', async (t) => {
  const expected = await federation((mortal, name) => new InProcessLink(mortal.server, name))
  t.equal(expected.result.commits, 3)
  for (const seed of [2, 3, 4]) {
    const chaos = new Chaos(seed, 0.2)
    t.same(await federation((mortal, name) => chaoticLink(mortal.server, name, chaos)), expected, `seed ${seed}`)
    t.ok(Object.values(chaos.happened).reduce((sum, times) => sum + times, 0) > 50, JSON.stringify(chaos.happened))
  }
})

t.test('canary: a client that is told another outcome is seen in the result', async (t) => {
  const expected = await federation((mortal, name) => new InProcessLink(mortal.server, name))
  const other = await federation((mortal, name) => {
    const link = new InProcessLink(mortal.server, name)
    return Object.assign(Object.create(link), {
      describe: (signal: AbortSignal) => link.describe(signal),
      next: async (...args: Parameters<ClientLink['next']>) => {
        const notice = await link.next(...args)
        // Rounds that a client believes it has lost.
        return notice?.type === 'outcome' && name === 'c' ? { ...notice, counted: false } : notice
      },
      say: (...args: Parameters<ClientLink['say']>) => link.say(...args),
      download: (...args: Parameters<ClientLink['download']>) => link.download(...args),
      upload: (...args: Parameters<ClientLink['upload']>) => link.upload(...args),
    }) as ClientLink
  })
  t.notSame(other, expected)
})
