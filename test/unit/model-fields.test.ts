/** Foreign JSON by field: every kind at its bounds, and the words of a refusal. */
import t from 'tap'
import { Fields } from '../../src/model/fields.js'

const of = (value: unknown) => new Fields({ x: value }, 'c.json')
const refused = (read: () => unknown, message: string) => t.throws(read, { code: 'E_CONFIG', message })

t.test('whole numbers, positive numbers, truth, texts', (t) => {
  t.equal(of(1).integer('x'), 1)
  t.equal(of(2 ** 31 - 1).integer('x'), 2147483647)
  for (const [value, got] of [
    [0, '0'],
    [2 ** 31, '2147483648'],
    [1.5, '1.5'],
    ['1', '"1"'],
    [true, 'true'],
  ] as const) {
    refused(() => of(value).integer('x'), `c.json: x is ${got}, expected a whole number from 1 to 2147483647`)
  }
  t.equal(of(0).integer('x', 5, 0, 3), 0)
  t.equal(of(3).integer('x', 5, 0, 3), 3)
  refused(() => of(4).integer('x', 5, 0, 3), 'c.json: x is 4, expected a whole number from 0 to 3')
  refused(() => of(-1).integer('x', 5, 0, 3), 'c.json: x is -1, expected a whole number from 0 to 3')
  t.equal(of(1e-30).positive('x'), 1e-30)
  for (const [value, got] of [
    [0, '0'],
    [-1, '-1'],
    ['1', '"1"'],
    [Number.POSITIVE_INFINITY, 'null'],
  ] as const) {
    refused(() => of(value).positive('x'), `c.json: x is ${got}, expected a number above 0`)
  }
  t.equal(of(false).boolean('x'), false)
  refused(() => of(1).boolean('x'), 'c.json: x is 1, expected true or false')
  t.equal(of('').string('x'), '')
  refused(() => of(1).string('x'), 'c.json: x is 1, expected a string')
  t.end()
})

t.test('absent and null give what stands in, or fail without it', (t) => {
  for (const value of [undefined, null]) {
    const fields = of(value)
    t.equal(fields.has('x'), false)
    t.same(
      [fields.integer('x', 0), fields.positive('x', 0), fields.boolean('x', false), fields.string('x', '')],
      [0, 0, false, ''],
    )
    t.same([fields.object('x'), fields.strings('x'), fields.tokenIds('x')], [undefined, undefined, []])
    for (const read of [
      () => fields.integer('x'),
      () => fields.positive('x'),
      () => fields.boolean('x'),
      () => fields.string('x'),
    ]) {
      t.throws(read, { code: 'E_CONFIG', message: value === null ? /x is null/ : /x is nothing/ })
    }
  }
  t.equal(of(0).has('x'), true)
  t.end()
})

t.test('objects and lists', (t) => {
  const inner = of({ y: 0 }).object('x')!
  t.equal(inner.prefix, 'x.')
  t.throws(() => inner.positive('y'), {
    code: 'E_CONFIG',
    message: 'c.json: x.y is 0, expected a number above 0',
    details: { file: 'c.json', field: 'x.y', got: 0, expected: 'a number above 0' },
  })
  refused(() => of([]).object('x'), 'c.json: x is [], expected an object')
  refused(() => of(1).object('x'), 'c.json: x is 1, expected an object')
  t.same(of(['a', '']).strings('x'), ['a', ''])
  refused(() => of('a').strings('x'), 'c.json: x is "a", expected a list of strings')
  refused(() => of(['a', 1]).strings('x'), 'c.json: x is ["a",1], expected a list of strings')
  t.same(of(7).tokenIds('x'), [7])
  t.same(of([0, -1, 3]).tokenIds('x'), [0, 3], 'below 0: none')
  refused(() => of([1, 0.5]).tokenIds('x'), 'c.json: x is [1,0.5], expected a token id or a list of token ids')
  refused(() => of('x').tokenIds('x'), 'c.json: x is "x", expected a token id or a list of token ids')
  t.end()
})
