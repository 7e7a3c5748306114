/** Long vectors from TypeScript: sums of plain vectors, combinations, norms and products over ranges, and what they refuse. */
import t from 'tap'
import { createAggregator } from '../../src/aggregation/aggregator.js'
import { cosine, dot, linearCombination, norm, type Ranges } from '../../src/aggregation/vectors.js'
import { encodeUpdate } from '../../src/compression/codec.js'
import { Random } from '../../src/random/random.js'
import { bytesOf } from '../support/train.js'

function vector(length: number, seed: number): Float32Array {
  const random = new Random(seed, 78)
  return Float32Array.from({ length }, () => (random.uniform() - 0.5) * 2 ** Math.floor(random.uniform() * 12 - 8))
}

const message = (values: Float32Array) => encodeUpdate(values, { codec: 'f32' }).bytes
const same = (a: Float32Array, b: Float32Array) => bytesOf(a).equals(bytesOf(b))

t.test('a plain vector adds the bits of its f32 message, in any order and company', async (t) => {
  for (const length of [1, 2048, 70_001]) {
    const updates = [1, 2, 3, 4].map((seed) => vector(length, seed))
    const sums = [0, 1, 2].map(() => createAggregator(length))
    for (const [k, update] of updates.entries()) sums[0]!.add(message(update), k + 1)
    for (const [k, update] of [...updates.entries()].reverse()) sums[1]!.add(update, k + 1)
    sums[2]!.addAll(
      updates.map((update, k) =>
        k % 2 === 0 ? { vector: update, weight: k + 1 } : { bytes: message(update), weight: k + 1 },
      ),
    )
    for (const sum of sums) t.ok(same(sum.mean(), sums[0]!.mean()) && sum.totalWeight === 10 && sum.count === 4)
    sums[1]!.add(updates[0]!, 1)
    t.notOk(same(sums[1]!.mean(), sums[0]!.mean()), 'canary: one more is seen')
  }
})

t.test('laws of the mean: one vector is itself, equal vectors are one', async (t) => {
  const update = vector(3001, 9)
  for (const weights of [[1], [0.3], [2, 7], [1, 64, 301, 37]]) {
    using sum = createAggregator(update.length)
    for (const weight of weights) sum.add(update, weight)
    t.ok(same(sum.mean(), update), `weights ${weights}`)
  }
})

t.test('a vector that cannot be added leaves the sum as it was', async (t) => {
  using sum = createAggregator(300)
  sum.add(vector(300, 1), 3)
  const before = sum.mean()
  for (const value of [Number.NaN, Number.NEGATIVE_INFINITY]) {
    const bad = vector(300, 2)
    bad[123] = value
    t.throws(() => sum.add(bad), { code: 'E_NONFINITE', message: /element 123/ })
    t.throws(() => sum.addAll([{ vector: vector(300, 3) }, { vector: bad }]), { code: 'E_NONFINITE' })
  }
  for (const length of [0, 299, 301]) t.throws(() => sum.add(new Float32Array(length)), { code: 'E_SHAPE' })
  for (const update of [new Float64Array(300), [1], null, undefined, 'x'] as never[]) {
    t.throws(() => sum.add(update), { code: 'E_ARGUMENT', message: /Float32Array/ })
    t.throws(() => sum.addAll([{ vector: update }]), { code: 'E_ARGUMENT', message: /Float32Array/ })
    t.throws(() => sum.addAll([update]), { code: 'E_ARGUMENT' })
  }
  for (const weight of [0, -1, Number.NaN]) t.throws(() => sum.add(vector(300, 1), weight), { code: 'E_ARGUMENT' })
  t.ok(same(sum.mean(), before) && sum.count === 1)
})

t.test('a linear combination is computed in double and rounded once, into a new vector or one of them', async (t) => {
  const [x, y, z] = [1, 2, 3].map((seed) => vector(300_001, seed)) as [Float32Array, Float32Array, Float32Array]
  const expected = x.map((value, i) => 0.3 * value + -1.7 * y[i]! + 1e-3 * z[i]!)
  t.ok(same(linearCombination([0.3, -1.7, 1e-3], [x, y, z]), expected))
  const into = y.slice()
  t.equal(linearCombination([0.3, -1.7, 1e-3], [x, into, z], into), into)
  t.ok(same(into, expected))
  t.ok(
    same(
      linearCombination([1, -1], [x, y]),
      x.map((value, i) => value - y[i]!),
    ),
    'a difference is that of a loop',
  )
  t.notOk(same(linearCombination([0.3, -1.7, 1.001e-3], [x, y, z]), expected), 'canary')
  const doubles = linearCombination([0.5, 2], [Float64Array.of(1, 1e300), Float64Array.of(3, -1)])
  t.same([...doubles], [6.5, 5e299])
})

t.test('of ranges, only those elements are read and written', async (t) => {
  const x = vector(9000, 4)
  const y = vector(9000, 5)
  const ranges: Ranges = [
    [0, 1],
    [100, 100],
    [2040, 4100],
    [8999, 9000],
  ]
  const inside = (i: number) => ranges.some(([begin, end]) => i >= begin && i < end)
  const into = y.slice()
  linearCombination([1, 2], [x, into], into, ranges)
  t.ok(
    same(
      into,
      y.map((value, i) => (inside(i) ? x[i]! + 2 * value : value)),
    ),
  )
  const product = x.reduce((sum, value, i) => (inside(i) ? sum + value * y[i]! : sum), 0)
  t.ok(Math.abs(dot(x, y, ranges) - product) <= 1e-12 * Math.abs(product))
  const squares = x.reduce((sum, value) => sum + value * value, 0)
  t.ok(Math.abs(norm(x) - Math.sqrt(squares)) <= 1e-12 * Math.sqrt(squares))
  t.equal(norm(x, [[7, 7]]), 0)
  t.ok(norm(x, [[1, 9000]]) < norm(x), 'canary: one element less is seen')
  t.ok(Math.abs(cosine(x, y) - dot(x, y) / (norm(x) * norm(y))) <= 1e-15)
})

t.test('what the operations refuse', async (t) => {
  const x = new Float32Array(8)
  const table: [string, () => unknown, string][] = [
    ['no vector', () => linearCombination([], []), 'E_ARGUMENT'],
    ['a coefficient too many', () => linearCombination([1, 2], [x]), 'E_ARGUMENT'],
    ['a coefficient that is no number', () => linearCombination([Number.NaN], [x]), 'E_NONFINITE'],
    ['a shorter vector', () => linearCombination([1, 2], [x, new Float32Array(7)]), 'E_SHAPE'],
    ['another type', () => linearCombination([1, 2], [x, new Float64Array(8)]), 'E_ARGUMENT'],
    ['a list', () => linearCombination([1], [[1, 2] as never]), 'E_ARGUMENT'],
    ['a shorter result', () => linearCombination([1], [x], new Float32Array(7)), 'E_SHAPE'],
    ['a range beyond the end', () => linearCombination([1], [x], undefined, [[0, 9]]), 'E_ARGUMENT'],
    ['a range backwards', () => linearCombination([1], [x], undefined, [[3, 2]]), 'E_ARGUMENT'],
    ['half an index', () => linearCombination([1], [x], undefined, [[0.5, 2]]), 'E_ARGUMENT'],
    ['a negative index', () => norm(x, [[-1, 2]]), 'E_ARGUMENT'],
    [
      'ranges that overlap',
      () =>
        dot(x, x, [
          [0, 4],
          [3, 5],
        ]),
      'E_ARGUMENT',
    ],
    ['a product of unequal lengths', () => dot(x, new Float32Array(7)), 'E_SHAPE'],
    ['an angle of unequal lengths', () => cosine(x, new Float32Array(7)), 'E_SHAPE'],
    ['memory that overlaps', () => linearCombination([1], [x.subarray(1, 5)], x.subarray(0, 4)), 'E_ARGUMENT'],
  ]
  for (const [what, call, code] of table) t.throws(call, { code }, what)
})
