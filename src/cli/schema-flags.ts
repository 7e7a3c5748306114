/** Flags made from an option schema: one flag for each option that a single word can set, named in kebab case. */
import { z } from 'zod'
import type { Flag, Flags, FlagValues } from './arguments.js'

interface Property {
  type?: string
  enum?: unknown[]
  const?: unknown
  anyOf?: Property[]
  default?: unknown
  description?: string
}

export function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

function toFlag(property: Property): Flag | undefined {
  const common = {
    description: property.description ?? '',
    default: property.default as Flag['default'],
  }
  if (property.type === 'boolean') return { ...common, type: 'boolean' }
  if (property.type === 'number' || property.type === 'integer') return { ...common, type: 'number', value: 'N' }
  if (property.type === 'string') {
    return property.enum
      ? { ...common, type: 'string', choices: property.enum.map(String) }
      : { ...common, type: 'string', value: 'TEXT' }
  }
  const constants = property.anyOf?.map((one) => one.const)
  if (constants?.every((value) => typeof value === 'number')) {
    return { ...common, type: 'number', value: constants.join('|') }
  }
  return undefined
}

/** Flags of a strict object schema. */
export function schemaFlags(schema: z.ZodType): Flags {
  const json = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as {
    properties?: Record<string, Property>
  }
  const flags: Flags = {}
  for (const [name, property] of Object.entries(json.properties ?? {})) {
    const flag = toFlag(property)
    if (flag) flags[kebab(name)] = flag
  }
  return flags
}

/** The values of those flags under their option names; what was not given is left to the schema. */
export function schemaValues(schema: z.ZodObject, flags: FlagValues): Record<string, unknown> {
  const values = Object.keys(schema.shape).map((name) => [name, flags[kebab(name)]] as const)
  return Object.fromEntries(values.filter(([, value]) => value !== undefined))
}
