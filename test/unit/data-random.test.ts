/** Philox against its published vectors, the distributions against their moments, permutations as permutations. */
import t from 'tap'
import { permutation, philox, Random } from '../../src/random/random.js'

const hex = (words: Uint32Array) => [...words].map((word) => word.toString(16).padStart(8, '0'))

t.test('the published vectors of Philox4x32-10', async (t) => {
  // Random123, kat_vectors
  const all = 2n ** 64n - 1n
  t.same(hex(philox(0, 0, 0)), ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8'])
  t.same(hex(philox(all, all, all)), ['408f276d', '41c83b0e', 'a20bc7c6', '6d5451fd'])
  const pi = philox(0x299f31d0a4093822n, 0x0370734413198a2en, 0x85a308d3243f6a88n)
  t.same(hex(pi), ['d16cfe09', '94fdcceb', '5001e420', '24126ea1'])
  t.same(philox(5, 6, 7), philox(5n, 6n, 7n))
  t.not(hex(philox(0, 0, 1)).join(), '6627e8d5,e169c58d,bc57ac4c,9b00dbd8', 'canary: another counter, other words')
})

t.test('numbers above 32 bits reach the high word', async (t) => {
  t.same(philox(2 ** 40 + 3, 0, 0), philox(2n ** 40n + 3n, 0n, 0n))
  t.notSame(philox(2 ** 40 + 3, 0, 0), philox(3, 0, 0))
  t.throws(() => philox(-1, 0, 0), { code: 'E_ARGUMENT' })
  t.throws(() => philox(0.5, 0, 0), { code: 'E_ARGUMENT' })
  t.throws(() => new Random(Number.NaN, 1), { code: 'E_ARGUMENT' })
})

/** Mean and variance of `count` draws. */
function moments(count: number, draw: () => number): { mean: number; variance: number } {
  const values = Array.from({ length: count }, draw)
  const mean = values.reduce((sum, value) => sum + value, 0) / count
  return { mean, variance: values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count }
}

/** Whether the mean lies within five standard errors and the variance within 10 %. */
function fits(got: { mean: number; variance: number }, mean: number, variance: number, count: number): boolean {
  return Math.abs(got.mean - mean) <= 5 * Math.sqrt(variance / count) && Math.abs(got.variance / variance - 1) <= 0.1
}

t.test('uniform, normal and gamma draws have their moments', async (t) => {
  const count = 20000
  const random = new Random(11, 9)
  t.ok(
    fits(
      moments(count, () => random.uniform()),
      0.5,
      1 / 12,
      count,
    ),
  )
  t.ok(
    fits(
      moments(count, () => random.normal()),
      0,
      1,
      count,
    ),
  )
  for (const shape of [0.3, 1, 2.5, 40]) {
    t.ok(
      fits(
        moments(count, () => random.gamma(shape)),
        shape,
        shape,
        count,
      ),
      `gamma ${shape}`,
    )
  }
  t.notOk(
    fits(
      moments(count, () => random.gamma(2.5)),
      2.4,
      2.4,
      count,
    ),
    'canary: a wrong mean is seen',
  )
  t.notOk(fits({ mean: Number.NaN, variance: 1 }, 0, 1, count), 'canary: NaN is seen')
  t.throws(() => random.gamma(0), { code: 'E_ARGUMENT' })
})

t.test('Dirichlet shares sum to 1, small alpha concentrates, tiny alpha stays finite', async (t) => {
  const random = new Random(3, 9)
  for (const alpha of [0.001, 0.1, 1, 100]) {
    const shares = random.dirichlet(alpha, 8)
    t.ok(Math.abs(shares.reduce((sum, share) => sum + share, 0) - 1) < 1e-12)
    t.ok(shares.every((share) => share >= 0 && share <= 1))
  }
  t.ok(Math.max(...random.dirichlet(0.01, 8)) > 0.9)
  t.ok(Math.max(...random.dirichlet(1000, 8)) < 0.2)
})

t.test('below is within its limit and reaches all of it', async (t) => {
  const random = new Random(1, 9)
  const seen = new Set(Array.from({ length: 500 }, () => random.below(7)))
  t.same([...seen].sort(), [0, 1, 2, 3, 4, 5, 6])
})

t.test('a permutation holds every index once and depends on seed and epoch alone', async (t) => {
  for (const count of [0, 1, 2, 17, 1000]) {
    const order = permutation(count, 7, 3)
    t.same(
      [...order].sort((a, b) => a - b),
      Array.from({ length: count }, (_, i) => i),
    )
    t.same(order, permutation(count, 7, 3))
  }
  t.notSame(permutation(50, 7, 3), permutation(50, 7, 4))
  t.notSame(permutation(50, 7, 3), permutation(50, 8, 3))
})
