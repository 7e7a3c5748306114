/** Every algorithm between machines: the adapter of `simulate`, bit for bit, with each client's own state where it belongs, with the client. */
import t from 'tap'
import { both, equal, variations } from './support/both.js'

for (const [name, one] of Object.entries(variations)) {
  t.test(name, async (t) => {
    const { simulated, served, rounds } = await both(one)
    t.ok(equal(served, simulated), 'the bits of simulate')
    // What hides rows is each client's own account: no server knows it.
    const hidden = one.federation?.privacy?.level === 'example' ? { privacy: undefined } : {}
    t.same(
      rounds.served.map((round) => ({ ...round, ...hidden })),
      rounds.simulated.map((round) => ({ ...round, ...hidden })),
      'and its figures',
    )
  })
}

t.test('canary: another option is another adapter', async (t) => {
  const { simulated } = await both({})
  const { served } = await both({ federation: { serverOptimizer: { name: 'none', learningRate: 0.5 } } })
  t.notOk(equal(served, simulated))
})
