/** Where two values of JSON differ first. */
import t from 'tap'
import { firstDifference } from '../../src/files/difference.js'

t.test('the first difference is found on either side, at any depth', async (t) => {
  t.equal(firstDifference({ a: [1, { b: null }] }, { a: [1, { b: null }] }), undefined)
  t.same(firstDifference({ a: 1, b: 2 }, { a: 1, b: 3 }), { path: 'b', a: 2, b: 3 })
  t.same(firstDifference({ a: 1, gone: 2 }, { a: 1 }), { path: 'gone', a: 2, b: undefined })
  t.same(firstDifference({ a: 1 }, { a: 1, come: 2 }), { path: 'come', a: undefined, b: 2 })
  t.same(firstDifference({ a: { b: [0, 1] } }, { a: { b: [0, 2] } }), { path: 'a.b[1]', a: 1, b: 2 })
  t.same(firstDifference({ a: null }, { a: {} }), { path: 'a', a: null, b: {} })
  t.same(firstDifference({ a: {} }, { a: null }), { path: 'a', a: {}, b: null })
  t.same(firstDifference(1, {}), { path: '', a: 1, b: {} })
  t.equal(firstDifference({ a: Number.NaN }, { a: Number.NaN }), undefined)
  t.same(firstDifference(0, -0), { path: '', a: 0, b: -0 })
})

t.test('what counts as equal is the caller’s to say', async (t) => {
  const near = (a: unknown, b: unknown) => a === b || Math.abs(Number(a) - Number(b)) < 0.1
  t.equal(firstDifference({ a: [1, 'x'] }, { a: [1.05, 'x'] }, '', near), undefined)
  t.same(firstDifference({ a: [1, 2] }, { a: [1.05, 2.5] }, 'whole', near), { path: 'whole.a[1]', a: 2, b: 2.5 })
})
