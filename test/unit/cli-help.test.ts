import t from 'tap'
import { z } from 'zod'
import { commonFlags } from '../../src/cli/command.js'
import { commandHelp, describeOptions } from '../../src/cli/help.js'
import { kebab, schemaFlags, schemaValues } from '../../src/cli/schema-flags.js'
import { modelSections } from '../../src/cli/sections.js'
import { federationSchema } from '../../src/federated/options.js'

const schema = z.strictObject({
  rank: z.int().min(1).default(16).describe('rank of the factors'),
  rate: z.number().gt(0).lt(1).optional(),
  kind: z.enum(['a', 'b']).default('a'),
  targets: z.union([z.string(), z.array(z.string()), z.instanceof(RegExp)]).default('all'),
  blockSize: z.union([z.literal(64), z.literal(128)]).default(64),
  nested: z.strictObject({ deep: z.boolean().default(false).describe('deep down') }).prefault({}),
  signal: z.instanceof(AbortSignal).optional(),
})

t.test('every option that JSON can hold is described from its schema', async (t) => {
  t.same(describeOptions(schema), [
    { name: 'rank', type: 'integer ≥ 1', default: '16', description: 'rank of the factors' },
    { name: 'rate', type: 'number > 0, < 1', default: '', description: '' },
    { name: 'kind', type: '"a" | "b"', default: '"a"', description: '' },
    { name: 'targets', type: 'string | string[]', default: '"all"', description: '' },
    { name: 'blockSize', type: '64 | 128', default: '64', description: '' },
    { name: 'nested.deep', type: 'boolean', default: 'false', description: 'deep down' },
  ])
})

t.test('no option of the API is without a description, and none is lost', async (t) => {
  const sections: Record<string, z.ZodType> = { ...(await modelSections()), federation: federationSchema }
  for (const [name, section] of Object.entries(sections)) {
    const options = describeOptions(section)
    t.ok(options.length > 3, name)
    for (const option of options) {
      if (option.description === '') t.fail(`${name}.${option.name} has no description`)
    }
  }
  const missing = describeOptions(schema).filter((option) => option.description === '')
  t.ok(missing.length > 0, 'canary: a schema without descriptions is noticed')
})

t.test('the help text holds flags, defaults and options', async (t) => {
  const text = commandHelp(
    { name: 'train' },
    'fine-tune',
    { model: { type: 'string', value: 'DIR', description: 'model folder', required: true }, ...commonFlags },
    { adapter: schema },
  )
  t.match(text, /^fedlora train: fine-tune\n/)
  t.match(text, /--model DIR +model folder \(required\)/)
  t.match(text, /--json +NDJSON/)
  t.match(text, / {2}adapter:\n {4}rank +integer ≥ 1 · default 16 · rank of the factors/)
  t.notMatch(text, /signal/)
})

t.test('flags from a schema', async (t) => {
  const flags = schemaFlags(schema)
  t.same(Object.keys(flags), ['rank', 'rate', 'kind', 'block-size'])
  t.match(flags.rank, { type: 'number', default: 16 })
  t.match(flags.kind, { choices: ['a', 'b'] })
  t.equal(kebab('doubleQuantization'), 'double-quantization')
  t.same(schemaValues(schema, { 'block-size': 128, rank: 4, other: 1 }), { rank: 4, blockSize: 128 })
})
