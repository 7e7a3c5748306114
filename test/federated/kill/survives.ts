/** Tests that play series: what a side that was killed leaves is right, and a server that is wrong on purpose is found. */
import t from 'tap'
import { series } from './series.mjs'

type Series = Parameters<typeof series>[0]

interface Killed extends Pick<Series, 'role' | 'kind'> {
  kills: readonly (readonly (number | string)[])[]
  /** Points that an undisturbed world has at least. */
  least: number
  /** Kinds of points that it has. */
  has?: readonly string[]
  /** What makes the series another than those of the same role. */
  where?: string
  skip?: string | boolean
}

/** One side is killed at each of `kills`: nothing is lost, nothing counts twice. */
export function survives({ role, kind, kills, least, has = [], where = '', skip = false }: Killed): void {
  t.test(`the ${role} killed${where}`, { skip }, async (t) => {
    const { passed, kinds, wrong, results } = await series({ role, kind, kills })
    t.same(wrong, [], 'nobody disturbed it')
    t.ok(passed >= least, `${passed} points`)
    for (const kind of has) t.ok(kinds[kind]! > 0, kind)
    t.equal(results.length, kills.length)
    for (const { kills, killed, wrong } of results) {
      t.same(wrong, [], `killed at ${killed.join(' and ')} of ${kills}`)
      t.ok(killed.length > 0, 'it was killed')
    }
  })
}

/** A server that is wrong after a restart is right as long as nobody kills it, and then its adapter is another. */
export function isFound({
  kind,
  variant,
  kills,
  skip = false,
}: Omit<Series, 'role'> & { skip?: string | boolean }): void {
  t.test(`canary: a server that is wrong after a restart (${variant})`, { skip }, async (t) => {
    const { wrong, results } = await series({ role: 'server', kind, variant, kills })
    t.same(wrong, [], 'right as long as nobody kills it')
    t.ok(
      results.some(({ wrong }) => wrong.some((line) => line.startsWith('fold: '))),
      'the adapter has other bits',
    )
  })
}
