/** Flower's objects: ids and bytes of its own classes, what a server sent and what came back; and everything that is no object. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { addArrayRecord, readArrayRecord } from '../../src/flower/objects/arrays.js'
import { packReply, unpackMessage } from '../../src/flower/objects/content.js'
import { type FlowerArray, readNpy, writeNpy } from '../../src/flower/objects/npy.js'
import { addObject, type Objects, objectId, readObject } from '../../src/flower/objects/object.js'
import { type RecordValue, readValues, writeValues } from '../../src/flower/objects/values.js'
import { fleetMethods } from '../../src/flower/wire/fleet.js'

const folder = join('test', 'golden', 'flower')
const golden = readFileSync(join(folder, 'objects.txt'), 'utf8')
const idOf = (line: string) => new RegExp(`^${line.replace(/[[\]{}]/g, '\\$&')} ([0-9a-f]{64})$`, 'm').exec(golden)![1]!
const bodyOf = (line: string) => new RegExp(`^${line} .*\\n.*\\n   body hex ([0-9a-f]+)$`, 'm').exec(golden)![1]!
const lookupIn = (objects: Objects) => (id: string) => readObject(id, objects.get(id)!)
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const grid: FlowerArray = { shape: [2, 3], data: Float32Array.of(0, 1, 2, 3, 4, 5) }
const metrics = new Map<string, RecordValue>([
  ['num-examples', 10n],
  ['loss', 0.25],
])

t.test('objects have the bytes and ids that Flower’s own classes give them', async (t) => {
  t.equal(hex(writeNpy('w', grid)), /^npy hex (\w+)$/m.exec(golden)![1], 'an array')
  const objects: Objects = new Map()
  t.equal(addArrayRecord(objects, new Map([['w', grid]])), idOf('ArrayRecord{w}'))
  t.ok(objects.has(idOf('ArrayChunk')) && objects.has(idOf('Array f32[2,3]')), 'with its array and chunk')
  const config = new Map<string, RecordValue>([
    ['lr', 0.5],
    ['round', 1n],
    ['name', 'x'],
    ['ok', true],
    ['b', Uint8Array.of(0, 255)],
    ['l', [1n, 2n]],
  ])
  t.equal(hex(writeValues('ConfigRecord', config)), bodyOf('ConfigRecord'))
  t.strictSame(readValues('ConfigRecord', Buffer.from(bodyOf('ConfigRecord'), 'hex')), config)
  t.equal(hex(writeValues('MetricRecord', metrics)), bodyOf('MetricRecord'))
  const reply = packReply(
    {
      runId: 7n,
      srcNodeId: 11n,
      dstNodeId: 1n,
      replyToMessageId: 'ab'.repeat(32),
      groupId: '1',
      createdAt: 1750000000.5,
      ttl: 3600,
      messageType: 'train',
    },
    { arrays: new Map([['w', grid]]), metrics },
  )
  t.ok(reply.objects.has(idOf('MetricRecord')), 'the metrics')
  t.equal(reply.tree.children[0]!.objectId, idOf('RecordDict'), 'the records')
  t.equal(reply.id, idOf('Message'), 'the message')
  const content = unpackMessage(lookupIn(reply.objects), reply.id, 2 ** 20)
  t.strictSame(content.arrays, new Map([['arrays', new Map([['w', grid]])]]), 'and read again')
  t.strictSame(content.metrics, new Map([['metrics', metrics]]))
})

/** The objects of the first message that a real server sent, and its id. */
function recorded(): { objects: Objects; id: string } {
  const { entries } = JSON.parse(readFileSync(join(folder, 'http-1.42.json'), 'utf8'))
  const objects: Objects = new Map()
  for (const { method, request, response } of entries) {
    if (method !== 'pull-object') continue
    const { objectId: id } = fleetMethods['pull-object'].request.decode(Buffer.from(request, 'hex'))
    objects.set(id, fleetMethods['pull-object'].response.decode(Buffer.from(response, 'hex')).content)
  }
  const id = [...objects.keys()].find((id) => readObject(id, objects.get(id)!).type === 'Message')!
  return { objects, id }
}

t.test('a message of a real server: eight LoRA factors, of which two are distinct', async (t) => {
  const { objects, id } = recorded()
  for (const [id, content] of objects) t.equal(objectId(content), id)
  const { arrays, configs } = unpackMessage(lookupIn(objects), id, 2 ** 20)
  const factors = arrays.get('arrays')!
  t.equal(factors.size, 8)
  t.strictSame([...factors.keys()].slice(0, 2), [
    'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight',
    'base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight',
  ])
  t.strictSame([...factors.values()][0]!.shape, [4, 16])
  t.strictSame(
    configs.get('config'),
    new Map<string, RecordValue>([
      ['lr', 0.01],
      ['steps', 10n],
      ['server-round', 1n],
    ]),
  )
  const packed: Objects = new Map()
  const again = addArrayRecord(packed, factors)
  t.ok(objects.has(again), 'written again it is the same object')
  t.equal(packed.size, 5, 'and equal arrays are one')
})

t.test('names keep their order, whatever they look like', async (t) => {
  const names = ['10', '2', '1', '__proto__', 'constructor', 'größe', '🌼', 'a"b\\c', '0']
  const arrays = new Map(names.map((name, i) => [name, { shape: [1], data: Float32Array.of(i) }]))
  const objects: Objects = new Map()
  const id = addArrayRecord(objects, arrays)
  const read = readArrayRecord(lookupIn(objects), id, { bytes: 1e6 })
  t.strictSame([...read.keys()], names)
  t.strictSame(read, arrays)
  const body = Buffer.from(readObject(id, objects.get(id)!).body).toString('latin1')
  t.match(body, /"gr\\u00f6\\u00dfe": ".*"\\ud83c\\udf3c": "/, 'as json.dumps spells them')
})

t.test('arrays of every shape and dtype; chunks of 5 MiB, equal ones once', async (t) => {
  const arrays: FlowerArray[] = [
    { shape: [], data: Float64Array.of(0.5) },
    { shape: [0, 3], data: new Float32Array(0) },
    { shape: [4], data: Int32Array.of(1, -2, 3, -4) },
    { shape: [1, 1, 2], data: BigInt64Array.of(1n, -(2n ** 62n)) },
    { shape: [3], data: Uint8Array.of(1, 2, 3) },
    { shape: [12, 5], data: Float32Array.from({ length: 60 }, (_, i) => i / 7) },
  ]
  for (const array of arrays) {
    const file = writeNpy('x', array)
    t.equal(file.indexOf(10) % 64, 63, 'a header of whole lines')
    t.strictSame(readNpy('x', file), array)
    const unaligned = Buffer.concat([Buffer.of(0), file]).subarray(1)
    t.strictSame(readNpy('x', unaligned), array, 'wherever it lies')
  }
  const large = { shape: [2 ** 23], data: new Float32Array(2 ** 23).fill(0.5) }
  const objects: Objects = new Map()
  const id = addArrayRecord(objects, new Map([['large', large]]))
  t.equal(objects.size, 5, 'record, array, first, middle and last chunk')
  const { body } = readObject(id, objects.get(id)!)
  const array = readObject('', objects.get(JSON.parse(Buffer.from(body).toString()).large)!)
  t.strictSame(JSON.parse(Buffer.from(array.body).toString()).arraychunk_ids, [0, 1, 1, 1, 1, 1, 2])
  const read = readArrayRecord(lookupIn(objects), id, { bytes: 2 ** 26 }).get('large')!
  t.ok(Buffer.from(read.data.buffer).equals(Buffer.from(large.data.buffer)))
  t.throws(() => readArrayRecord(lookupIn(objects), id, { bytes: 2 ** 24 }), { code: 'E_MEMORY' }, 'small on the wire')
})

t.test('an error as a reply has no content', async (t) => {
  const { id, objects, tree } = packReply({ runId: 1n }, { code: 2n, reason: 'E_SHAPE: no' })
  t.strictSame(tree, { objectId: id, children: [] })
  t.equal(objects.size, 1)
  t.throws(() => unpackMessage(lookupIn(objects), id, 1), { code: 'E_PROTOCOL' })
})

t.test('values that no record holds', async (t) => {
  const config: RecordValue[] = [
    [],
    [true],
    ['a'],
    [Uint8Array.of(1)],
    [2n ** 63n],
    [0.5],
    2n ** 64n - 1n,
    -0,
    'a',
    false,
  ]
  for (const value of config) {
    t.strictSame(readValues('ConfigRecord', writeValues('ConfigRecord', new Map([['v', value]]))).get('v'), value)
  }
  const wrong: unknown[] = [
    null,
    undefined,
    {},
    2n ** 64n,
    -(2n ** 63n) - 1n,
    [1, 1n],
    ['a', 1],
    [[1]],
    new Map(),
    [2n ** 63n, -1n],
  ]
  for (const value of wrong) {
    const values = new Map([['v', value as RecordValue]])
    t.throws(() => writeValues('ConfigRecord', values), { code: 'E_ARGUMENT' }, String(value))
    t.throws(() => writeValues('MetricRecord', values), { code: 'E_ARGUMENT' }, String(value))
  }
  t.throws(() => writeValues('MetricRecord', new Map([['v', 'text']])), { code: 'E_ARGUMENT' })
  t.throws(() => readValues('MetricRecord', Buffer.from('0a030a0176', 'hex')), { code: 'E_PROTOCOL' }, 'none')
})

t.test('arrays that are none', async (t) => {
  const file = Buffer.from(writeNpy('w', grid))
  const changed = (from: string, to: string) => Buffer.from(file.toString('latin1').replace(from, to), 'latin1')
  const refused: [Uint8Array, string][] = [
    [file.subarray(0, 9), 'E_FORMAT'],
    [file.subarray(0, 100), 'E_FORMAT'],
    [file.subarray(0, file.length - 1), 'E_FORMAT'],
    [Buffer.concat([file, Buffer.of(0)]), 'E_FORMAT'],
    [changed('\x93NUMPY\x01', '\x93NUMPY\x02'), 'E_FORMAT'],
    [changed("'descr'", "'bescr'"), 'E_FORMAT'],
    [changed('(2, 3)', '(3, 3)'), 'E_FORMAT'],
    [changed('(2, 3), }            ', '(999999999999999, 9), '), 'E_FORMAT'],
    [
      Buffer.concat([
        file.subarray(0, 8),
        Buffer.of(255, 255),
        Buffer.from(`${file.toString('latin1', 10, 56)}(${'1'.repeat(65488)}\n`),
      ]),
      'E_FORMAT',
    ],
    [changed('<f4', '<f2'), 'E_DTYPE'],
    [changed('<f4', '|O8'), 'E_DTYPE'],
    [changed('False,', 'True, '), 'E_UNSUPPORTED'],
  ]
  for (const [bytes, code] of refused) t.throws(() => readNpy('w', bytes), { code, message: /'w'/ }, code)
  t.throws(() => writeNpy('w', { shape: [2, 2], data: new Float32Array(3) }), { code: 'E_SHAPE' })
  t.throws(() => writeNpy('w', { shape: [1.5], data: new Float32Array(1) }), { code: 'E_SHAPE' })
  t.throws(() => writeNpy('w', { shape: [1], data: [1] as never }), { code: 'E_DTYPE' })
  t.throws(() => writeNpy('w', { shape: [1], data: new Uint16Array(1) as never }), { code: 'E_DTYPE' })
})

t.test('objects that are none, or another than was named', async (t) => {
  const contents = [
    '',
    'Array',
    'Array  0',
    'Array  0 0\0',
    'Dog  0\0',
    'Array x 0\0',
    'Array  -1\0',
    'Array  1\0',
    'Array  0\0x',
  ]
  for (const content of contents)
    t.throws(() => readObject('id', Buffer.from(content)), { code: 'E_PROTOCOL' }, content)
  const { objects, id } = recorded()
  const lookup = lookupIn(objects)
  t.throws(() => unpackMessage(lookup, readObject(id, objects.get(id)!).children[0]!, 1e6), { code: 'E_PROTOCOL' })
  const wrong: Objects = new Map()
  const chunk = addObject(wrong, 'ArrayChunk', [], writeNpy('w', grid))
  const array = (body: object) => addObject(wrong, 'Array', [chunk], Buffer.from(JSON.stringify(body)))
  const right = { dtype: 'float32', shape: [2, 3], stype: 'numpy.ndarray', arraychunk_ids: [0] }
  const record = (child: string, body = { w: child }) =>
    addObject(wrong, 'ArrayRecord', [child], Buffer.from(JSON.stringify(body)))
  const read = (id: string) => readArrayRecord(lookupIn(wrong), id, { bytes: 1e6 })
  t.equal(read(record(array(right))).size, 1, 'whole')
  for (const part of [
    { dtype: 'float64' },
    { shape: [3, 2] },
    { shape: 6 },
    { stype: 'torch' },
    { arraychunk_ids: [1] },
    { arraychunk_ids: [-1] },
    { arraychunk_ids: [0.5] },
    { arraychunk_ids: '0' },
    { arraychunk_ids: [0, 0] },
    { arraychunk_ids: [] },
  ]) {
    t.throws(() => read(record(array({ ...right, ...part }))), /flower: /, JSON.stringify(part))
  }
  t.throws(() => read(record(array(right), { w: 'f'.repeat(64) })), { code: 'E_PROTOCOL' }, 'not its child')
  t.throws(() => read(record(array(right), { w: 1 } as never)), { code: 'E_PROTOCOL' })
  t.throws(() => read(record(array(right), [] as never)), { code: 'E_PROTOCOL' }, 'no object')
  t.throws(() => read(record(chunk)), { code: 'E_PROTOCOL' }, 'a chunk for an array')
})
