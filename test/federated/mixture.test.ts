/** Mixtures of distributions: the golden E-step, and losses far beyond what an exponential holds. */
import t from 'tap'
import { logSumExp, responsibilities } from '../../src/federated/algorithms/mixture.js'
import { golden } from './support/quadratics.js'

const [components, rows] = golden.get('em.losses').shape as [number, number]
const losses = Array.from({ length: components }, (_, m) =>
  Float64Array.from(golden.get('em.losses').values.subarray(m * rows, (m + 1) * rows)),
)
const before = [...golden.get('em.pi').values]
const expected = [...golden.get('em.q').values]

const furthest = (found: readonly number[], wanted: readonly number[]) =>
  found.length === wanted.length ? Math.max(...found.map((x, i) => Math.abs(x - wanted[i]!))) : Number.POSITIVE_INFINITY
const far = (error: number) => !(error <= 1e-12)

t.test('whose row is whose, and what mixture that makes', async (t) => {
  const { q, mixture } = responsibilities(losses, before)
  t.notOk(
    far(
      furthest(
        q.flatMap((list) => [...list]),
        expected,
      ),
    ),
  )
  t.notOk(far(furthest(mixture, [...golden.get('em.pi_new').values])))
  t.ok(
    losses.some((list) => list.some((loss) => Math.exp(-loss) === 0)),
    'one loss is beyond exp',
  )
  const uniform = responsibilities(
    losses,
    before.map(() => 1 / components),
  )
  t.ok(
    far(
      furthest(
        uniform.q.flatMap((list) => [...list]),
        expected,
      ),
    ),
    'canary: without π',
  )
})

t.test('rows that no component can explain are shared by the differences of their losses', async (t) => {
  const { q, mixture } = responsibilities(
    [Float64Array.of(5000, 3), Float64Array.of(5000 + Math.log(3), 3)],
    [0.5, 0.5],
  )
  t.notOk(far(furthest([...q[0]!], [0.75, 0.5])))
  t.notOk(far(furthest(mixture, [0.625, 0.375])))
  const gone = responsibilities([Float64Array.of(1), Float64Array.of(0)], [1, 0])
  t.same(gone.mixture, [1, 0], 'a component of which a client has nothing stays away')
})

t.test('log Σ exp', async (t) => {
  t.equal(logSumExp([0, 0]), Math.log(2))
  t.equal(logSumExp([-1e4, -1e4]), -1e4 + Math.log(2))
  t.equal(logSumExp([1e4]), 1e4)
  t.equal(logSumExp([Number.NEGATIVE_INFINITY, -3]), -3)
  t.equal(logSumExp([Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]), Number.NEGATIVE_INFINITY)
})
