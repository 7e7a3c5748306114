/**
 * A federation without rounds over HTTPS whose server, or whose clients, are killed with SIGKILL at a sample of all their writes, flushes, renames and
 * sends: nothing is lost, nothing counts twice, and the adapter is what the journal says. All points: `node scripts/kill-points.mjs --kind buffers`.
 */
import t from 'tap'
import { series } from './kill/series.mjs'

for (const [role, kills, least] of [
  ['server', [['datasync#14'], [131, 47], [353]], 400],
  ['clients', [['rename#40'], [571, 83]], 900],
] as const) {
  t.test(`the ${role} killed`, async (t) => {
    const { passed, wrong, results } = await series({ role, kind: 'buffers', kills })
    t.same(wrong, [], 'nobody disturbed it')
    t.ok(passed >= least, `${passed} points`)
    for (const { kills, killed, wrong } of results) {
      t.same(wrong, [], `killed at ${killed.join(' and ')} of ${kills}`)
      t.ok(killed.length > 0, 'it was killed')
    }
  })
}

t.test('canary: a server that is wrong after a restart', async (t) => {
  const { wrong, results } = await series({
    role: 'server',
    kind: 'buffers',
    variant: 'twice',
    kills: [['datasync#13'], ['datasync#15']],
  })
  t.same(wrong, [], 'right as long as nobody kills it')
  t.ok(
    results.some(({ wrong }) => wrong.some((line) => line.startsWith('fold: '))),
    'and then its adapter is another',
  )
})
