/** JSON Schemas of config files, from the zod schemas that check them: what an editor completes is what the command takes. */
import { z } from 'zod'
import type { Json } from '../files/json.js'
import type { Command } from './command.js'

/** Takes out what JSON cannot hold (functions, regular expressions): it would allow anything. */
function tidy(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(tidy)
  if (typeof node !== 'object' || node === null) return node
  const entries = Object.entries(node as Json).map(([key, value]) => [key, tidy(value)] as const)
  const result = Object.fromEntries(entries)
  for (const union of ['anyOf', 'oneOf']) {
    const branches = result[union]
    if (Array.isArray(branches)) result[union] = branches.filter((one) => Object.keys(one as Json).length > 0)
  }
  return result
}

/** The schema of a command's config file; sections for other commands are objects of any content. */
export async function configSchema(command: Command): Promise<Json> {
  const sections = Object.entries((await command.sections?.()) ?? {}).map(([name, schema]) => {
    const { $schema: _, ...json } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Json
    return [name, tidy(json)]
  })
  const others = (command.ignoredSections ?? []).map((name) => [name, { type: 'object' }])
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: `fedlora ${command.name}`,
    type: 'object',
    properties: { $schema: { type: 'string' }, ...Object.fromEntries([...sections, ...others]) },
    additionalProperties: false,
  }
}
