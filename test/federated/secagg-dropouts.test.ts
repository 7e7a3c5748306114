/** Secure aggregation: the sum is exact whoever drops out and when, as long as everybody keeps enough peers; else there is none. */
import t from 'tap'
import { neighboursOf, type Setup } from '../../src/federated/protocol/secagg/setup.js'
import { unmask } from '../../src/federated/protocol/secagg/unmask.js'
import { Random } from '../../src/random/random.js'
import { engine, identityAt, phases, Round, setupOf } from './support/secagg.js'

const updateOf = (setup: Setup, client: number) => {
  const random = new Random(7, 40, client)
  const weight = setup.mostWeight === null ? {} : { weight: 1 + random.below(setup.mostWeight) }
  return { values: Float32Array.from({ length: setup.length }, () => random.normal()), seed: 11 + client, ...weight }
}

const roundOf = (setup: Setup) =>
  new Round(
    setup,
    setup.identities.map((_, client) => ({ identity: identityAt(client), update: updateOf(setup, client) })),
  )

/** Σ w·q of some clients, without a mask anywhere. */
function plainSum(setup: Setup, clients: readonly number[]): Uint8Array {
  const { length, clip, bits, wordBytes, mostWeight } = setup
  const sum = new Uint8Array(wordBytes * (length + (mostWeight === null ? 0 : 1)))
  for (const client of clients) {
    const { values, seed, weight = 1 } = updateOf(setup, client)
    const words = new Uint8Array(sum.length)
    const options = { clip, bits, wordBytes, weight, seed, stream: 24 * 2 ** 32 + client }
    engine.quantizeWeighted(values, words.subarray(0, wordBytes * length), options)
    if (mostWeight !== null) new DataView(words.buffer).setUint32(wordBytes * length, weight, true)
    engine.addWords(sum, wordBytes, words)
  }
  return sum
}

const subsets = (count: number) =>
  Array.from({ length: 2 ** count }, (_, bits) =>
    Array.from({ length: count }, (_, i) => i).filter((i) => (bits >> i) & 1),
  )

/** Whether everybody of `living` keeps enough peers. */
const lives = (setup: Setup, living: readonly number[]) =>
  living.length > setup.threshold &&
  living.every(
    (client) => neighboursOf(setup)[client]!.filter((peer) => living.includes(peer)).length >= setup.threshold,
  )

for (const [name, setup] of [
  ['everyone meets everyone', setupOf(6, { threshold: 3 })],
  ['a ring of four neighbours', setupOf(7, { neighbours: 4, threshold: 3 })],
  ['equal weights in words of 16 bits', setupOf(5, { threshold: 3, wordBytes: 2, bits: 8, mostWeight: null })],
] as const) {
  t.test(`${name}: every set of drop-outs, in every phase`, async (t) => {
    const all = setup.identities.map((_, client) => client)
    let [exact, refused] = [0, 0]
    for (const [index, phase] of phases.entries()) {
      const before = phases[index - 1]
      const begun = before === undefined ? roundOf(setup) : roundOf(setup).run({}, before)
      for (const dropped of subsets(all.length)) {
        // The first two phases are costly, and what is lost there is lost alike: every fourth set.
        if (dropped.length > 4 || (index < 2 && dropped.length > 0 && (dropped[0]! + dropped.length) % 4 !== 0))
          continue
        const round = begun.fork().run({ [phase]: dropped })
        const living = all.filter((client) => !dropped.includes(client))
        // Whoever was lost after its vector came is in the sum.
        const counted = phase === 'signed' || phase === 'revealed' ? all : living
        if (round.server.phase === 'abandoned') {
          refused++
          t.notOk(
            lives(setup, living) && phase !== 'revealed',
            `lost at ${phase}: ${dropped}: ${round.server.abandoned}`,
          )
          t.throws(() => unmask(round.server, engine), { code: 'E_PROTOCOL', message: /abandoned/ })
          continue
        }
        exact++
        const { sum, survivors, culprits } = unmask(round.server, engine)
        t.ok(lives(setup, living) || phase === 'revealed', `lost at ${phase}: ${dropped}: should have been abandoned`)
        if (Buffer.compare(sum, plainSum(setup, counted)) !== 0) t.fail(`lost at ${phase}: ${dropped}: another sum`)
        t.same([survivors, culprits], [counted, []])
      }
    }
    t.ok(exact > 15 && refused > 15, `${exact} sums, ${refused} rounds abandoned`)
    const canary = roundOf(setup).run()
    t.not(Buffer.compare(unmask(canary.server, engine).sum, plainSum(setup, all.slice(1))), 0, 'canary: one less')
  })
}

t.test('drop-outs in several phases of one round', async (t) => {
  const setup = setupOf(9, { threshold: 5 })
  const round = roundOf(setup).run({ shares: [4], masked: [0], signed: [7] })
  t.same(unmask(round.server, engine).sum, plainSum(setup, [1, 2, 3, 5, 6, 7, 8]))
  t.equal(roundOf(setup).run({ shares: [4], masked: [0, 1, 2] }).server.phase, 'abandoned')
})

t.test('the mean is the weighted mean to a step of the grid', async (t) => {
  const setup = setupOf(4, { threshold: 2, length: 300 })
  const { mean, weight } = unmask(roundOf(setup).run().server, engine)
  const updates = [0, 1, 2, 3].map((client) => updateOf(setup, client))
  t.equal(
    weight,
    updates.reduce((sum, one) => sum + one.weight!, 0),
  )
  const step = (2 * setup.clip) / (2 ** setup.bits - 1)
  for (let i = 0; i < setup.length; i++) {
    const exact = updates.reduce(
      (sum, one) => sum + (one.weight! / weight) * Math.min(Math.max(one.values[i]!, -1), 1),
      0,
    )
    if (!(Math.abs(mean[i]! - exact) <= step * (1 + 1e-9))) t.fail(`value ${i}: ${mean[i]}, expected ${exact}`)
  }
  t.ok(
    updates[0]!.values.some((value) => Math.abs(value) > setup.clip),
    'some were clipped',
  )
})
