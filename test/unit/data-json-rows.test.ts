/** Rows as Python reads them: numbers and the order of keys as they were written. */
import { createHash } from 'node:crypto'
import t from 'tap'
import { Float, parseJsonRow } from '../../src/data/reading/json-rows.js'
import { Digests } from '../../src/data/rows/digests.js'
import { ChatTemplate } from '../../src/data/tokenizer/chat-template.js'
import { floatText, keepsSpelling, parseExactly, stringifyExactly } from '../../src/files/exact-json.js'

const printed = (json: string) => {
  const row = parseJsonRow(`{"messages": [{"role": "user", "content": ${json}}]}`) as { messages: { role: string }[] }
  return new ChatTemplate('{{ messages[0].content | tojson }}', {}).render(row.messages)
}

/** json.dumps(json.loads(text)) of Python 3.11 */
const python: [text: string, dumped: string][] = [
  ['1234567890123456789', '1234567890123456789'],
  ['-9007199254740993', '-9007199254740993'],
  ['9007199254740992', '9007199254740992'],
  ['123456789012345678901234567890', '123456789012345678901234567890'],
  ['1.0', '1.0'],
  ['-0.0', '-0.0'],
  ['-0', '0'],
  ['0.0', '0.0'],
  ['1e-07', '1e-07'],
  ['1E5', '100000.0'],
  ['1e16', '1e+16'],
  ['1e15', '1000000000000000.0'],
  ['1e22', '1e+22'],
  ['123456789012345680.0', '1.2345678901234568e+17'],
  ['0.1', '0.1'],
  ['2.50', '2.5'],
  ['0.0001', '0.0001'],
  ['0.00001', '1e-05'],
  ['5e-324', '5e-324'],
  ['1.7976931348623157e308', '1.7976931348623157e+308'],
  ['1e400', 'Infinity'],
  ['0.99999999999999999999', '1.0'],
  ['12345678.000000', '12345678.0'],
  ['7', '7'],
  ['{"10": 1, "9": 2, "b": 3, "1": {"5": 1, "4": 0}}', '{"10": 1, "9": 2, "b": 3, "1": {"5": 1, "4": 0}}'],
  ['{"a": 1, "a": 2.0, "10": 3}', '{"a": 2.0, "10": 3}'],
  ['[1, 1.0, "1.0", {"x": [2e0, null, true, "a\\"b,1.0"]}]', '[1, 1.0, "1.0", {"x": [2.0, null, true, "a\\"b,1.0"]}]'],
  ['{"__proto__": {"x": 1.0}, "constructor": 1}', '{"__proto__": {"x": 1.0}, "constructor": 1}'],
]

t.test('tojson prints what Python prints of the same row', async (t) => {
  for (const [text, dumped] of python) t.equal(printed(text), dumped, text)
  const lossy = python.filter(
    ([text, dumped]) => JSON.stringify(JSON.parse(text)).replaceAll(',', ', ').replaceAll('":', '": ') !== dumped,
  )
  t.ok(lossy.length > 15, 'canary: JSON.parse and JSON.stringify lose most of them')
})

t.test('numbers of a program are what JSON.stringify writes of them', async (t) => {
  const numbers = [5.0, -0, 2 ** 53 + 2, 1e20, 1e21, -1e22, 0.5, 1e-7, 9007199254740993n, 7n]
  const shown = new ChatTemplate('{{ x | tojson }}', {}).render([{ role: 'user' }], { variables: { x: numbers } })
  t.equal(shown, '[5, 0, 9007199254740994, 100000000000000000000, 1e+21, -1e+22, 0.5, 1e-07, 9007199254740993, 7]')
})

t.test('a value that kept its spelling behaves as the number it is', async (t) => {
  const { x, y } = parseExactly('{"x": 1.0, "y": -0.0}') as { x: Float; y: Float }
  t.ok(x instanceof Float)
  t.equal(+x + 1, 2)
  t.equal(`${x} ${y}`, '1.0 -0.0')
  t.equal(JSON.stringify({ x, y }), '{"x":1,"y":0}')
  t.ok((x as unknown as number) < 2)
})

t.test("a row's own numbers are numbers; those within its objects keep their spelling", async (t) => {
  const row = parseJsonRow(
    '{"id": 1234567890123456789, "label": 1.0, "input_ids": [1.0, 2], "turn": {"id": 1234567890123456789, "w": 1.0}}',
  )
  t.strictSame(row, {
    id: Number('1234567890123456789'),
    label: 1,
    input_ids: [1, 2],
    turn: { id: 1234567890123456789n, w: new Float(1) },
  })
  t.strictSame(parseJsonRow('[{"x": 1.0}]'), [{ x: 1 }], 'rows in a list, too')
})

t.test('what JSON.parse reads or refuses is the same', async (t) => {
  for (const text of [
    '{"a": 1.50, "s": "x: 3.0, 1e5"}',
    '[]',
    '"1.0"',
    ' {"a" : [ 1e2 , {} , [ ] ] } ',
    '{"é\\n": "\\ud83e\\udd8a 10.0"}',
    '5',
    '1.0',
  ]) {
    t.strictSame(JSON.parse(JSON.stringify(parseExactly(text))), JSON.parse(text), text)
  }
  for (const text of ['{"a": 01.0}', '{"a": 1.}', '[1.0', '{"a": NaN}', '', '{"a": 1.0,}', "{'a': 1.0}"]) {
    t.throws(() => parseExactly(text), SyntaxError, text)
  }
})

t.test('writing gives back what was read, and tells apart what Python tells apart', async (t) => {
  for (const [text] of python) {
    if (text === '1e400' || text.includes('"a": 1, "a"')) continue
    const again = stringifyExactly(parseExactly(`{"v":${text}}`))
    t.strictSame(parseExactly(again), parseExactly(`{"v":${text}}`), text)
    t.equal(stringifyExactly(parseExactly(again)), again)
  }
  t.not(stringifyExactly(parseExactly('{"v":1.0}')), stringifyExactly(parseExactly('{"v":1}')))
  t.not(stringifyExactly(parseExactly('{"2":0,"1":0}')), stringifyExactly(parseExactly('{"1":0,"2":0}')))
  const plain = { a: [1, 'x', null, undefined, { b: undefined, c: true, d: new Date(0) }], f() {}, e: -0 }
  t.equal(stringifyExactly(plain), JSON.stringify(plain))
  t.equal(stringifyExactly({ ids: Int32Array.of(1, 2), big: 5n }), '{"ids":[1,2],"big":5}')
  const { ...copied } = parseExactly('{"2":0,"1":0}') as object
  t.equal(stringifyExactly(Object.assign(copied, { z: 1 })), '{"2":0,"1":0,"z":1}', 'a copy keeps the order')
  t.ok(keepsSpelling(parseExactly('{"v":1.0}') as object))
  t.notOk(keepsSpelling(parseExactly('{"v":1.5}') as object))
})

t.test('floats as Python spells them', async (t) => {
  const spelled: [number, string][] = [
    [1, '1.0'],
    [1e16, '1e+16'],
    [9999999999999998, '9999999999999998.0'],
    [1.5e-5, '1.5e-05'],
    [1e-100, '1e-100'],
    [NaN, 'nan'],
    [-Infinity, '-inf'],
  ]
  for (const [value, text] of spelled) t.equal(floatText(value), text)
})

t.test('rows that a template prints differently have other digests', async (t) => {
  const digest = (text: string) => {
    const digests = new Digests()
    digests.add(parseJsonRow(text) as Record<string, unknown>)
    return digests.hash([0], null)
  }
  const rows = [
    '{"m":{"v":1}}',
    '{"m":{"v":1.0}}',
    '{"m":{"v":9007199254740993}}',
    '{"m":{"v":9007199254740992}}',
    '{"m":{"2":0,"1":0}}',
    '{"m":{"1":0,"2":0}}',
  ]
  t.equal(new Set(rows.map(digest)).size, rows.length)
  t.equal(digest(' {"m" : {"v": 1}}'), digest(rows[0]!))
})

t.test('the hash of a set is that over the digests of its rows, however many, in their order', (t) => {
  const digests = new Digests()
  const sha256 = (...parts: (string | Buffer)[]) =>
    parts.reduce((sum, part) => sum.update(part), createHash('sha256')).digest()
  const rows = Array.from({ length: 4100 }, (_, i) => ({ i }))
  for (const row of rows) t.equal(digests.add(row), JSON.stringify(row).length)
  t.equal(digests.length, rows.length)
  const own = rows.map((row) => sha256(JSON.stringify(row)))
  for (const count of [0, 1, 2047, 2048, 2049, 4096, 4100]) {
    const order = Array.from({ length: count }, (_, i) => (7 * i) % 4100)
    const whole = sha256('"more"', ...order.map((i) => own[i]!)).toString('hex')
    t.equal(digests.hash(order, 'more'), whole, `${count} rows`)
    if (count > 1) t.not(digests.hash([order[1]!, order[0]!, ...order.slice(2)], 'more'), whole, 'canary')
  }
  t.end()
})
