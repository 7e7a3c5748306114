/** Messages of Flower's Fleet service, judged by bodies that a real server and client exchanged, byte by byte. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readObject } from '../../src/flower/objects/object.js'
import { type FleetMethod, fleetMethods } from '../../src/flower/wire/fleet.js'
import { double, sint64, text, uint64 } from '../../src/flower/wire/kinds.js'
import { field, type Message, map, message, optional, repeated } from '../../src/flower/wire/message.js'

interface Entry {
  method: string
  request: string
  response: string
  requestFields: Record<string, unknown>
  responseFields: Record<string, unknown>
}

const entriesOf = (file: string): Entry[] =>
  JSON.parse(readFileSync(join('test', 'golden', 'flower', file), 'utf8')).entries

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const unhex = (text: string) => Buffer.from(text, 'hex')

/** A message read and written again. */
function again(kind: { encode(value: never): Uint8Array; decode(bytes: Uint8Array): unknown }, body: string): string {
  return hex(kind.encode(kind.decode(unhex(body)) as never))
}

for (const file of ['http-1.42.json', 'http-1.43-dev.json']) {
  t.test(`${file}: every body that was recorded is written as it was read`, async (t) => {
    const entries = entriesOf(file).filter(({ method }) => method in fleetMethods)
    for (const { method, request, response } of entries) {
      const { request: asked, response: answered } = fleetMethods[method as FleetMethod] as unknown as Record<
        string,
        Message<never>
      >
      t.equal(again(asked!, request), request, `${method} request`)
      t.equal(again(answered!, response), response, `${method} response`)
    }
    const methods = new Set(entries.map(({ method }) => method))
    if (file === 'http-1.42.json') t.strictSame([...methods].sort(), Object.keys(fleetMethods).sort(), 'every method')
  })
}

t.test('what is read is what Flower’s own classes read', async (t) => {
  const entries = entriesOf('http-1.42.json')
  const first = (method: string) => entries.find((entry) => entry.method === method && entry.response !== '')!
  const register = first('register-node')
  const id = fleetMethods['register-node'].response.decode(unhex(register.response)).nodeId
  t.equal(String(id), register.responseFields.node_id, 'a node id beyond 2^53')
  const pull = fleetMethods['pull-messages'].response.decode(unhex(first('pull-messages').response))
  const expected = (first('pull-messages').responseFields.messages_list as { metadata: Record<string, unknown> }[])[0]!
    .metadata
  const { runId, messageId, ttl, createdAt, messageType, srcTaskId, dstTaskId } = pull.messages[0]!.metadata!
  t.strictSame(
    [String(runId), messageId, ttl, createdAt, messageType, String(srcTaskId), dstTaskId],
    [
      expected.run_id,
      expected.message_id,
      expected.ttl,
      expected.created_at,
      expected.message_type,
      expected.src_task_id,
      undefined,
    ],
  )
  t.equal(pull.trees[0]!.children[0]!.children.length, 2, 'its objects as a tree')
  const pushed = fleetMethods['push-messages'].response.decode(unhex(first('push-messages').response))
  t.strictSame([...pushed.results.values()], [0n], 'a map entry at its default is there')
  for (const { request, response } of entries.filter(({ method }) => method === 'pull-object')) {
    const { objectId } = fleetMethods['pull-object'].request.decode(unhex(request))
    const { content } = fleetMethods['pull-object'].response.decode(unhex(response))
    t.ok(readObject(objectId, content).body.length > 0, 'an object')
  }
})

t.test('a canary: a codec with a field of another number or another kind is called wrong', async (t) => {
  const { response } = entriesOf('http-1.42.json').find(({ method }) => method === 'register-node')!
  t.not(again(message('canary', { nodeId: field(2, uint64) }), response), response)
  t.throws(() => message('canary', { nodeId: field(1, text) }).decode(unhex(response)), { code: 'E_PROTOCOL' })
  t.not(hex(message('canary', { nodeId: field(1, sint64) }).encode({ nodeId: 5n })), '0805')
})

t.test('scalars at their default are left out, members of a oneof are not', async (t) => {
  const both = message('both', { plain: field(1, double), chosen: optional(2, double), list: repeated(3, double) })
  t.equal(hex(both.encode({ plain: 0, chosen: 0 })), '110000000000000000')
  t.equal(hex(both.encode({ plain: -0 })), '090000000000000080', 'minus zero is not the default')
  t.equal(hex(both.encode({ list: [1] })), '1a08000000000000f03f', 'packed')
  t.strictSame(both.decode(unhex('19000000000000f03f')).list, [1], 'and read when it is not')
  t.strictSame(both.decode(unhex('')), { plain: 0, chosen: undefined, list: [] })
})

t.test('integers at their limits', async (t) => {
  const kinds = message('limits', { u: field(1, uint64), s: field(2, sint64), m: map(3, text, uint64) })
  for (const u of [1n, 127n, 128n, 2n ** 28n - 1n, 2n ** 28n, 2n ** 53n + 1n, 2n ** 64n - 1n]) {
    t.equal(kinds.decode(kinds.encode({ u })).u, u)
  }
  for (const s of [-1n, 1n, -(2n ** 63n), 2n ** 63n - 1n]) t.equal(kinds.decode(kinds.encode({ s })).s, s)
  t.equal(hex(kinds.encode({ s: -1n })), '1001')
  t.equal(hex(kinds.encode({ m: new Map([['', 0n]]) })), '1a040a001000', 'both parts of an entry')
})

t.test('bytes that are no message are refused', async (t) => {
  const nested = message('nested', { inner: optional(1, message('inner', { text: field(1, text) })) })
  const refused: [string, string][] = [
    ['0a05', 'a length beyond the end'],
    ['0affffffffffffffffff01', 'a length of 2^64'],
    ['08ffffffffffffffffffff01', 'an integer of eleven bytes'],
    ['10ffffffffffffffffff7f', 'an integer of more than 64 bits'],
    ['0b', 'a group'],
    ['0f', 'a kind that there is none of'],
    ['00', 'field 0'],
    ['0a030a01ff', 'a text that is not UTF-8'],
    ['0d000000', 'four bytes of which three are there'],
    ['80', 'a cut integer'],
  ]
  for (const [body, why] of refused) t.throws(() => nested.decode(unhex(body)), { code: 'E_PROTOCOL' }, why)
  let deep = Buffer.alloc(0)
  for (let i = 0; i < 2000; i++) {
    const length = deep.length < 128 ? [deep.length] : [(deep.length & 127) | 128, deep.length >> 7]
    deep = Buffer.concat([Buffer.from([0x12, ...length]), deep])
  }
  const tree = Buffer.concat([Buffer.from([0x1a, (deep.length & 127) | 128, deep.length >> 7]), deep])
  t.throws(() => fleetMethods['pull-messages'].response.decode(tree), { code: 'E_PROTOCOL' }, 'a tree 2,000 deep')
})
