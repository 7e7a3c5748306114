/** A served federation that hides its clients: what is spent stands in the journal before anything is made of it, and ends the federation. */
import t from 'tap'
import type { CoordinatorOptions } from '../../src/federated/coordinator/options.js'
import type { Record as Entry } from '../../src/federated/coordinator/records.js'
import { InProcessLink } from '../../src/federated/link/in-process.js'
import { type Dies, Mortal, options } from './support/conformance.js'
import { drifts, SmallParticipant } from './support/small-participant.js'

const privacy = { level: 'client', clip: 0.1, noiseMultiplier: 1, delta: 1e-5 } as const

/** A federation of four clients to its end. */
async function served(federation: Partial<CoordinatorOptions['federation']>, dies?: Dies) {
  const base = options().federation
  const mortal = await new Mortal(options({ federation: { ...base, cohort: 0.75, ...federation } }), dies).open()
  await Promise.all(
    ['a', 'b', 'c', 'd'].map(async (name) => {
      const { token } = await mortal.server().invite(name, 60)
      await mortal.server().enroll(token, name)
      const one = new SmallParticipant(name, new InProcessLink(mortal.server, name), drifts)
      await one.open()
      await one.run()
      await one.close()
    }),
  )
  await mortal.close()
  return { mortal, records: await mortal.records() }
}

const roundsOf = (records: readonly Entry[], type: 'commit' | 'spend') =>
  records.flatMap((record) => (record.type === type ? [record.round] : []))

/** ε of each round as it was told. */
const epsilons = (records: readonly Entry[]) =>
  records.flatMap((record) =>
    record.type === 'commit' ? [(record.report.privacy as { epsilon: number }).epsilon] : [],
  )

/** What must hold of every journal: whatever was made of clients was paid for before. */
function paid(records: readonly Entry[]): boolean {
  const spent = new Set<number>()
  return records.every((record) => {
    if (record.type === 'spend') spent.add(record.round)
    return record.type !== 'commit' || spent.has(record.round)
  })
}

t.test('every round is spent before it is committed, and told', async (t) => {
  const { records } = await served({ privacy })
  t.same(roundsOf(records, 'spend'), [1, 2, 3])
  t.same(roundsOf(records, 'commit'), [1, 2, 3])
  t.ok(paid(records))
  const [first, second, third] = epsilons(records) as [number, number, number]
  t.ok(first > 0 && first < second && second < third, `epsilon grows: ${first}, ${second}, ${third}`)
  t.notOk(paid(records.filter(({ type }) => type !== 'spend')), 'canary: a journal without spends')
})

t.test('noise that is drawn anew after a crash is paid for anew; noise that is the same is not', async (t) => {
  /** Dies once, when round 2 is made and not yet written down. */
  const beforeCommit = (): Dies => {
    let died = false
    return (_append, [record]) => {
      if (died || record?.type !== 'commit' || record.round !== 2) return undefined
      died = true
      return 'before'
    }
  }
  const secure = await served({ privacy }, beforeCommit())
  t.equal(secure.mortal.restarts, 1)
  t.same(roundsOf(secure.records, 'spend'), [1, 2, 2, 3], 'other noise of one sum tells more')
  const seeded = await served({ privacy: { ...privacy, noise: 'seeded' } })
  const again = await served({ privacy: { ...privacy, noise: 'seeded' } }, beforeCommit())
  t.equal(again.mortal.restarts, 1)
  t.same(roundsOf(again.records, 'spend'), [1, 2, 3], 'seeded noise is spent once')
  t.same(epsilons(again.records), epsilons(seeded.records))
  const commits = (records: readonly Entry[]) =>
    records.flatMap((record) => (record.type === 'commit' ? [record.checkpoint] : []))
  t.same(commits(again.records), commits(seeded.records), 'and its bits are the same')
})

t.test('a spent budget ends the federation with what it has', async (t) => {
  const { epsilon } = { epsilon: epsilons((await served({ privacy })).records)[1]! }
  const { records, mortal } = await served({ privacy: { ...privacy, epsilon: epsilon * 1.0001 } })
  t.same(roundsOf(records, 'commit'), [1, 2])
  t.match(records.at(-1), { type: 'stop', who: 'budget' })
  t.equal(mortal.events.filter(({ type }) => type === 'budget').length, 1)
  t.equal(mortal.events.at(-1)?.type, 'done')
})
