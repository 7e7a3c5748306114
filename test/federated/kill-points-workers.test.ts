/** A federation with workers, whose server or whose worker is killed with SIGKILL at a sample of all their writes and sends: nothing is lost, nothing counts twice, equal bits. */
import t from 'tap'
import { series } from './kill/series.mjs'
import { skipNats } from './support/nats-server.js'

for (const [role, kills, least] of [
  ['server', [['datasync#9', 40], [333]], 500],
  ['worker', [[9], [22, 17], [41], ['_writeGeneric/half#30']], 60],
] as const) {
  t.test(`the ${role} killed`, { skip: skipNats }, async (t) => {
    const { passed, wrong, results } = await series({ role, kind: 'workers', kills })
    t.same(wrong, [], 'nobody disturbed it')
    t.ok(passed >= least, `${passed} points`)
    for (const { kills, killed, wrong } of results) t.same(wrong, [], `killed at ${killed.join(' and ')} of ${kills}`)
    t.ok(
      results.every(({ killed }) => killed.length > 0),
      'each was killed',
    )
  })
}

t.test('canary: a server that loses sums after a restart', { skip: skipNats }, async (t) => {
  const { wrong, results } = await series({
    role: 'server',
    kind: 'workers',
    variant: 'unsummed',
    kills: [['datasync#15'], ['datasync#16']],
  })
  t.same(wrong, [], 'right as long as nobody kills it')
  t.ok(
    results.some(({ wrong }) => wrong.some((line) => /^fold: /.test(line))),
    'the adapter has other bits',
  )
})
