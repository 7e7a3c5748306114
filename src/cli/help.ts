/** The text of `--help`. Options of the API are read off the same zod schemas that validate them, so help cannot drift. */
import { z } from 'zod'
import type { Flag, Flags, Word } from './arguments.js'

export interface OptionLine {
  /** Path inside its section, such as `lora.rank`. */
  name: string
  type: string
  default: string
  description: string
}

interface JsonSchema {
  type?: string | string[]
  enum?: unknown[]
  const?: unknown
  anyOf?: JsonSchema[]
  oneOf?: JsonSchema[]
  allOf?: JsonSchema[]
  $ref?: string
  properties?: Record<string, JsonSchema>
  prefixItems?: JsonSchema[]
  items?: JsonSchema
  additionalProperties?: JsonSchema | boolean
  default?: unknown
  description?: string
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number
  exclusiveMaximum?: number
}

function range(schema: JsonSchema): string {
  const low = schema.exclusiveMinimum ?? schema.minimum
  const high = schema.exclusiveMaximum ?? schema.maximum
  const parts: string[] = []
  if (low !== undefined && low > Number.MIN_SAFE_INTEGER) {
    parts.push(`${schema.exclusiveMinimum !== undefined ? '>' : '≥'} ${low}`)
  }
  if (high !== undefined && high < Number.MAX_SAFE_INTEGER) {
    parts.push(`${schema.exclusiveMaximum !== undefined ? '<' : '≤'} ${high}`)
  }
  return parts.length === 0 ? '' : ` ${parts.join(', ')}`
}

/** One JSON Schema as a short type expression. */
function typeName(schema: JsonSchema): string {
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ')
  const union = schema.anyOf ?? schema.oneOf
  if (union) return [...new Set(union.map(typeName))].filter((name) => name !== 'any').join(' | ') || 'any'
  if (schema.allOf) return schema.allOf.map(typeName).join(' & ')
  if (schema.prefixItems) return `[${schema.prefixItems.map(typeName).join(', ')}]`
  if (schema.type === 'array') return `${schema.items ? typeName(schema.items) : 'any'}[]`
  if (schema.type === 'object') {
    const inner = Object.entries(schema.properties ?? {}).map(([name, value]) => `${name}: ${typeName(value)}`)
    if (inner.length > 0) return `{ ${inner.join(', ')} }`
    const values = schema.additionalProperties
    if (typeof values !== 'object') return 'object'
    const fields = Object.keys(values.properties ?? {}).length
    return fields > shownFields ? '{ name: { … } }' : `{ name: ${typeName(values)} }`
  }
  if (typeof schema.type === 'string') return schema.type + range(schema)
  return Array.isArray(schema.type) ? schema.type.join(' | ') : 'any'
}

/** Fields of an object that a type expression spells out. */
const shownFields = 6

/** The branches of a union of objects that are told apart by their `name`. */
function variantsOf(schema: JsonSchema): { name: string; fields: [string, JsonSchema][] }[] {
  return (schema.anyOf ?? schema.oneOf ?? []).flatMap((branch) => {
    const { name, ...fields } = branch.properties ?? {}
    return typeof name?.const === 'string' ? { name: name.const, fields: Object.entries(fields) } : variantsOf(branch)
  })
}

/** A union of named objects: their names, then the fields of each. */
function describeVariants(property: JsonSchema, path: string, lines: OptionLine[]): boolean {
  const variants = variantsOf(property)
  if (variants.length < 2) return false
  const plain = (property.anyOf ?? []).filter((branch) => branch.enum !== undefined)
  lines.push({
    name: path,
    type: [...plain.map(typeName), '{ name: …, … }'].join(' | '),
    default: property.default === undefined ? '' : JSON.stringify(property.default),
    description: property.description ?? '',
  })
  for (const { name, fields } of variants) {
    for (const [field, inner] of fields) {
      lines.push({
        name: `${path}.${field}`,
        type: typeName(inner),
        default: inner.default === undefined ? '' : JSON.stringify(inner.default),
        description: `${name}: ${inner.description ?? ''}`,
      })
    }
  }
  return true
}

/** The object among what may stand here. */
const objectOf = (schema: JsonSchema): JsonSchema =>
  schema.properties === undefined ? (schema.anyOf?.find((branch) => branch.properties !== undefined) ?? schema) : schema

function walk(schema: JsonSchema, prefix: string, lines: OptionLine[]): void {
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const path = prefix === '' ? name : `${prefix}.${name}`
    if (property.properties) {
      walk(property, path, lines)
      continue
    }
    if (describeVariants(property, path, lines)) continue
    lines.push({
      name: path,
      type: typeName(property),
      default: property.default === undefined ? '' : JSON.stringify(property.default),
      description: property.description ?? '',
    })
  }
}

/** Every option of an object schema, nested objects as dotted paths. What JSON cannot hold (a signal, a data set) is left out. */
export function describeOptions(schema: z.ZodType): OptionLine[] {
  const json = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema
  const lines: OptionLine[] = []
  walk(objectOf(json), '', lines)
  return lines.filter((line) => line.type !== 'any')
}

function columns(rows: [string, string][], indent: string): string[] {
  const width = Math.min(34, Math.max(0, ...rows.map(([left]) => left.length)))
  return rows.map(([left, right]) =>
    left.length > width
      ? `${indent}${left}\n${indent}${' '.repeat(width + 2)}${right}`
      : `${indent}${left.padEnd(width)}  ${right}`.trimEnd(),
  )
}

function flagRow(name: string, flag: Flag): [string, string] {
  const value = flag.type === 'boolean' ? '' : ` ${flag.value ?? flag.choices?.join('|') ?? flag.type.toUpperCase()}`
  const notes = [
    flag.required ? 'required' : '',
    flag.default === undefined ? '' : `default ${JSON.stringify(flag.default)}`,
  ].filter((note) => note !== '')
  return [`--${name}${value}`, flag.description + (notes.length > 0 ? ` (${notes.join(', ')})` : '')]
}

/** A section that is one value: its type, default and description; '' for one with fields. */
function plainSection(schema: z.ZodType): string {
  const json = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema
  if (objectOf(json).properties !== undefined) return ''
  const standard = json.default === undefined ? [] : [`default ${JSON.stringify(json.default)}`]
  return [typeName(json), ...standard, json.description ?? ''].join(' · ')
}

/** Help of one command: usage, flags, and the options of every section of its config file. */
export function commandHelp(
  command: { name: string; words?: readonly Word[] },
  summary: string,
  flags: Flags,
  sections: Readonly<Record<string, z.ZodType>>,
): string {
  const { name, words = [] } = command
  const lines = [`fedlora ${name}: ${summary}`, '']
  if (words.length > 0) {
    const shape = words.map(({ name, choices, required }) => {
      const word = choices?.join('|') ?? name.toUpperCase()
      return required ? word : `[${word}]`
    })
    lines.push(`Usage: fedlora ${name} ${shape.join(' ')}`, ...words.map(({ description }) => `  ${description}`), '')
  }
  lines.push('Flags:')
  lines.push(
    ...columns(
      Object.entries(flags).map(([flag, value]) => flagRow(flag, value)),
      '  ',
    ),
  )
  const names = Object.keys(sections)
  if (names.length > 0) {
    lines.push(
      '',
      `Config file, YAML or JSON, with the sections ${names.join(', ')}. Flags win over it, and each of its fields`,
      `is a flag too: --${names[0]}.FIELD VALUE, or --set ${names[0]}.FIELD=VALUE.`,
    )
    for (const section of names) {
      const schema = sections[section]!
      lines.push('', `  ${section}: ${plainSection(schema)}`.trimEnd())
      const rows = describeOptions(schema).map((option): [string, string] => [
        option.name,
        [option.type, option.default === '' ? '' : `default ${option.default}`, option.description]
          .filter((part) => part !== '')
          .join(' · '),
      ])
      lines.push(...columns(rows, '    '))
    }
  }
  return `${lines.join('\n')}\n`
}
