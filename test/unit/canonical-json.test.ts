/** One text for one content (RFC 8785, whose examples these are in part), and what is no plain data refused. */
import t from 'tap'
import { canonicalJson } from '../../src/files/canonical-json.js'

t.test('keys by UTF-16 units, numbers as ECMAScript prints them, no spaces', async (t) => {
  const keys = { '\u20ac': 1, '\r': 2, '\ufb33': 3, 1: 4, '\ud83d\ude00': 5, '\u0080': 6, '\u00f6': 7 }
  t.equal(canonicalJson(keys), '{"\\r":2,"1":4,"\u0080":6,"\u00f6":7,"\u20ac":1,"\ud83d\ude00":5,"\ufb33":3}')
  t.equal(canonicalJson([1e30, 4.5, 0.002, 1e-27, -0, 1 / 3]), '[1e+30,4.5,0.002,1e-27,0,0.3333333333333333]')
  t.equal(
    canonicalJson({ b: [undefined === null, null], a: { d: 'x', c: undefined } }),
    '{"a":{"d":"x"},"b":[false,null]}',
  )
  t.equal(canonicalJson(JSON.parse('{"__proto__":{"a":1}}')), '{"__proto__":{"a":1}}')
  t.equal(canonicalJson(Object.assign(Object.create(null), { a: 1 })), '{"a":1}')
})

t.test('what is no plain data is refused by its place', async (t) => {
  const circle: unknown[] = []
  circle.push(circle)
  const none: [value: unknown, where: string][] = [
    [Number.NaN, 'value'],
    [{ a: [0, Number.NEGATIVE_INFINITY] }, 'value.a[1]'],
    [{ b: 1n }, 'value.b'],
    [[undefined], 'value[0]'],
    [new Array(1), 'value[0]'],
    [new Uint8Array(2), 'value'],
    [{ at: new Date(0) }, 'value.at'],
    [Symbol('s'), 'value'],
    [circle, `value${'[0]'.repeat(100)}`],
  ]
  for (const [value, where] of none)
    t.throws(() => canonicalJson(value), { code: 'E_ARGUMENT', details: { where } }, where)
})
