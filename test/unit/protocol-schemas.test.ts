/** docs/protocol.schema.json is what the schemas judge by: a bound, a field or a type that changes is seen there, and is another protocol. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import t from 'tap'
import { documentProtocol } from '../../scripts/document-protocol.mjs'

const text = readFileSync(resolve('docs/protocol.schema.json'), 'utf8')
const { $defs } = JSON.parse(text)

t.test('it is current: node scripts/document-protocol.mjs', async (t) => {
  t.equal(await documentProtocol(), text)
})

/** Places where anything is taken. */
function open(node: unknown, path = ''): string[] {
  if (typeof node !== 'object' || node === null) return []
  if (Object.keys(node).length === 0) return [path]
  return Object.entries(node).flatMap(([key, value]) => open(value, `${path}.${key}`))
}

t.test('no place takes just anything', async (t) => {
  t.same(open($defs), [])
  t.same(
    open({ ...$defs, known: { type: 'object', properties: { settled: {} } } }),
    ['.known.properties.settled'],
    'canary',
  )
})

t.test('canary: bounds that people know are in it', async (t) => {
  t.same($defs.known.properties.settled, { type: 'integer', minimum: 0 })
  t.same(
    new Set($defs.reply.oneOf.map((one: typeof $defs) => one.properties.type.const)),
    new Set(['taken', 'refused']),
  )
})
