/**
 * A federation over HTTPS whose server, or whose clients, are killed with SIGKILL at a sample of all their writes, flushes, renames and sends; nothing is
 * lost, nothing counts twice, and the adapter has the bits of the one that nobody disturbed. All points: `node scripts/kill-points.mjs`.
 */
import t from 'tap'
import { series } from './kill/series.mjs'

/** The points of lives of worlds: `count` of the first, evenly from `first` on, and for the second of each pair one while it recovers. */
const sample = (count: number, first: number, step: number) =>
  Array.from({ length: count }, (_, i) => (i % 2 === 0 ? [first + i * step] : [first + i * step, 20 + 9 * i]))

for (const [role, kills, least] of [
  ['server', [['datasync#13'], ...sample(3, 37, 161)], 400],
  ['clients', [['rename#40'], ...sample(3, 61, 311)], 900],
] as const) {
  t.test(`the ${role} killed`, async (t) => {
    const { passed, kinds, wrong, results } = await series({ role, kills })
    t.same(wrong, [], 'nobody disturbed it')
    t.ok(passed >= least, `${passed} points`)
    for (const kind of ['open', 'writeFile/half', 'sync', 'rename', '_writeGeneric', '_writeGeneric/half'])
      t.ok(kinds[kind] > 0, kind)
    for (const { kills, killed, wrong } of results) t.same(wrong, [], `killed at ${killed.join(' and ')} of ${kills}`)
    t.ok(
      results.every(({ killed }) => killed.length > 0),
      'each was killed',
    )
  })
}

for (const [role, kills, least] of [
  ['server', [['datasync#21', 30], [601]], 1000],
  ['clients', [['rename#33'], [1103, 41]], 1500],
] as const) {
  t.test(`the ${role} killed, where updates travel masked`, async (t) => {
    const { passed, wrong, results } = await series({ role, kills, kind: 'masked' })
    t.same(wrong, [], 'nobody disturbed it')
    t.ok(passed >= least, `${passed} points`)
    for (const { kills, killed, wrong } of results) t.same(wrong, [], `killed at ${killed.join(' and ')} of ${kills}`)
    t.ok(
      results.every(({ killed }) => killed.length > 0),
      'each was killed',
    )
  })
}

for (const variant of ['lost', 'twice']) {
  t.test(`canary: a server that is wrong after a restart (${variant})`, async (t) => {
    const { wrong, results } = await series({ role: 'server', variant, kills: [['datasync#13']] })
    t.same(wrong, [], 'right as long as nobody kills it')
    t.match(results[0]!.wrong, [/^fold: /, 'the adapter has other bits'])
  })
}
