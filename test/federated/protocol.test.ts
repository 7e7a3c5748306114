import t from 'tap'
import { cohortOf, cohortSize, sampleCohort } from '../../src/federated/protocol/plan.js'
import { deriveSeed, streamOf, uniform } from '../../src/federated/protocol/random.js'
import { isAbsent } from '../../src/federated/simulate/absence.js'

t.test('uniform draws are uniform, addressed and independent of order', async (t) => {
  const n = 20000
  let sum = 0
  let square = 0
  for (let i = 0; i < n; i++) {
    const u = uniform(7, 'cohort', i, 3)
    if (!(u >= 0 && u < 1)) t.fail(`draw ${i} is ${u}`)
    sum += u
    square += u * u
  }
  const mean = sum / n
  t.ok(Math.abs(mean - 0.5) < 4 * Math.sqrt(1 / 12 / n), `mean ${mean}`)
  t.ok(Math.abs(square / n - mean * mean - 1 / 12) < 0.004, 'variance')
  t.equal(uniform(7, 'cohort', 11, 3), uniform(7, 'cohort', 11, 3))
  t.not(uniform(7, 'cohort', 11, 3), uniform(7, 'absence', 11, 3))
  t.not(uniform(7, 'cohort', 11, 3), uniform(8, 'cohort', 11, 3))
  t.not(uniform(7, 'cohort', 11, 3), uniform(7 + 2 ** 32, 'cohort', 11, 3), 'the upper half of the seed counts')
  const seeds = new Set(Array.from({ length: 500 }, (_, i) => deriveSeed(1, 'training', i >> 4, i & 15)))
  t.equal(seeds.size, 500)
  for (const seed of seeds) if (!(Number.isSafeInteger(seed) && seed < 2 ** 48)) t.fail(`seed ${seed}`)
})

t.test('draws are those of another implementation, so that a run begun long ago goes on alike', async (t) => {
  // Philox4x32-10 in Python, key = seed, counter = client, stream = purpose << 32 | round; it gives Random123's known answers.
  t.equal(deriveSeed(11, 'training', 1), 195379644251739)
  t.equal(deriveSeed(2 ** 40 + 5, 'encoding', 7, 300), 231549249467977)
  t.equal(deriveSeed(0, 'baseline', 0, 2), 138469408666725)
  t.equal(uniform(11, 'cohort', 1), 0.7397801012564864)
  t.equal(uniform(2 ** 40 + 5, 'absence', 7, 300), 0.9281159456501469)
})

t.test('cohort sizes: shares, counts and what is neither', async (t) => {
  t.equal(cohortSize(0.3, 10), 3)
  t.equal(cohortSize(1, 10), 10)
  t.equal(cohortSize(0.001, 10), 1)
  t.equal(cohortSize(4, 10), 4)
  t.equal(cohortSize({ clients: 1 }, 10), 1)
  for (const bad of [0, -1, 2.5, Number.NaN, 11, { clients: 0 }]) {
    t.throws(() => cohortSize(bad, 10), { code: 'E_ARGUMENT' }, JSON.stringify(bad))
  }
})

t.test('cohorts are ascending, without repeats, fair, and differ between rounds', async (t) => {
  const hits = new Array<number>(20).fill(0)
  const rounds = 4000
  for (let round = 1; round <= rounds; round++) {
    const cohort = sampleCohort(20, 5, 42, round)
    if (new Set(cohort).size !== 5 || cohort.some((c, i) => i > 0 && c <= cohort[i - 1]!)) t.fail(`round ${round}`)
    for (const client of cohort) hits[client]!++
  }
  const expected = (rounds * 5) / 20
  const chi = hits.reduce((sum, h) => sum + (h - expected) ** 2 / expected, 0)
  t.ok(chi < 43.8, `chi-square with 19 degrees of freedom is ${chi}`)
  const biased = hits.map((h, i) => (i === 0 ? h * 1.3 : h))
  t.notOk(
    biased.reduce((sum, h) => sum + (h - expected) ** 2 / expected, 0) < 43.8,
    'canary: a client drawn a third too often is seen',
  )
  t.same(sampleCohort(6, 6, 1, 1), [0, 1, 2, 3, 4, 5])
})

t.test('cohorts of a round: reproducible, refused for no round', async (t) => {
  t.same(cohortOf(50, 0.4, 5, 3), cohortOf(50, 0.4, 5, 3))
  t.notSame(cohortOf(50, 0.4, 5, 3), cohortOf(50, 0.4, 5, 4))
  t.equal(cohortOf(50, 0.4, 5, 3).length, 20)
  for (const round of [0, -1, 1.5]) t.throws(() => cohortOf(50, 0.4, 5, round), { code: 'E_ARGUMENT' })
})

t.test('absences: by probability, each client and round by itself', async (t) => {
  let absent = 0
  for (let round = 1; round <= 200; round++) {
    for (let client = 0; client < 20; client++) if (isAbsent(5, round, `c${client}`, 0.25)) absent++
  }
  t.ok(Math.abs(absent / 4000 - 0.25) < 0.03, `${absent} of 4000 absent`)
  t.notOk(isAbsent(5, 1, 'c1', 0))
})

t.test('a client is addressed by its name', async (t) => {
  t.equal(streamOf('client-0'), 0x16c288552529, 'the first 48 bits of SHA-256')
  t.not(streamOf('a'), streamOf('b'))
})
