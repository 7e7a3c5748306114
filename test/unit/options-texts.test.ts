/** Options that are texts, of every config file: a single letter is one, nothing is none, but where nothing says something. */
import t from 'tap'
import { z } from 'zod'
import { simulate } from '../../src/cli/commands/simulate.js'
import { modelSections } from '../../src/cli/sections.js'
import { serverSections } from '../../src/cli/serve/sections.js'

interface Text {
  path: string
  /** Fewest letters; undefined: any text will do. */
  least: number | undefined
}

/** The texts of a schema that no list, pattern or format describes. */
function textsOf(schema: z.ZodType, path: string): Text[] {
  const walk = (node: unknown, path: string): Text[] => {
    if (typeof node !== 'object' || node === null) return []
    const { type, minLength, pattern, format, ...rest } = node as Record<string, unknown>
    const free =
      type === 'string' && pattern === undefined && format === undefined && !('enum' in rest || 'const' in rest)
    const here = free ? [{ path, least: minLength as number | undefined }] : []
    return [...here, ...Object.entries(rest).flatMap(([key, value]) => walk(value, `${path}.${key}`))]
  }
  return walk(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }), path)
}

/** Names and values of what people call as they like, and addresses, which are judged as such. */
const any =
  /(Pattern|chatTemplateKwargs|fields)\.propertyNames$|fields\.additionalProperties$|\.tokenizer$|\.(publicUrl|monitor)$/

t.test('of every config file', async (t) => {
  const files = { train: modelSections, simulate: simulate.sections!, serve: serverSections }
  for (const [file, sections] of Object.entries(files)) {
    const texts = Object.entries(await sections()).flatMap(([name, schema]) => textsOf(schema, name))
    t.ok(texts.length > 20, `${file}: ${texts.length} texts`)
    const wrong = texts.filter(({ path, least }) => (any.test(path) ? least !== undefined : least !== 1))
    t.same(wrong, [], file)
  }
})

t.test('canary: a text that may be empty is seen, and one that needs two letters', async (t) => {
  const schema = z.strictObject({ a: z.string(), b: z.array(z.string().min(2)), c: z.enum(['x']), d: z.url() })
  t.same(textsOf(schema, 's'), [
    { path: 's.properties.a', least: undefined },
    { path: 's.properties.b.items', least: 2 },
  ])
})
