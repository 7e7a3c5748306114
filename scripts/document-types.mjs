#!/usr/bin/env node
// Brings the words of the option schemas to where an editor shows them. TypeScript knows an option as z.input<typeof schema>, which
// carries types and no text; each such alias in dist/**/*.d.ts becomes an interface of the same members, every one with its
// description and default as TSDoc. The types stay z.input's, member by member, so that neither can drift from the other.
//
// Usage: node scripts/document-types.mjs    (after tsc; setup.mjs runs it)
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { listFiles, root, runMain, ScriptError } from './lib/project.mjs'

const alias = /export type (\w+) = z\.input<typeof (\w+)>;/g
/** Wrappers whose inside is what a user writes. */
const wrappers = {
  optional: 'innerType',
  default: 'innerType',
  prefault: 'innerType',
  nullable: 'innerType',
  pipe: 'in',
}

const inside = (schema) => (schema.def.type in wrappers ? inside(schema.def[wrappers[schema.def.type]]) : schema)
const isOptional = (schema) => schema.safeParse(undefined).success

/** The description, wherever in its wrappers it was given. */
function described(schema) {
  if (schema.description !== undefined) return schema.description
  return schema.def.type in wrappers ? described(schema.def[wrappers[schema.def.type]]) : undefined
}

function defaultOf(schema) {
  const { type, defaultValue } = schema.def
  if (type === 'default' || type === 'prefault') return JSON.stringify(defaultValue)
  return type in wrappers ? defaultOf(schema.def[wrappers[type]]) : undefined
}

function comment(schema, indent) {
  const value = defaultOf(schema)
  // An object's default, {}, says nothing: its members tell their own.
  const text = [described(schema), value === undefined || value === '{}' ? undefined : `Default: ${value}`]
  const sentences = text
    .filter((part) => part !== undefined)
    .map((part) => `${part[0].toUpperCase()}${part.slice(1).replace(/\.$/, '')}.`)
  return sentences.length === 0 ? '' : `${indent}/** ${sentences.join(' ').replaceAll('*/', '*\\/')} */\n`
}

/** The members of an object schema, `type` being the TypeScript type that they belong to. */
function members(object, type, indent) {
  return Object.entries(object.def.shape)
    .map(([name, schema]) => {
      const key = /^\w+$/.test(name) ? name : JSON.stringify(name)
      const own = `${type}[${JSON.stringify(name)}]`
      const inner = inside(schema)
      const documented = inner.def.type === 'object' && Object.values(inner.def.shape).some(described)
      const value = documented ? `{\n${members(inner, `NonNullable<${own}>`, `${indent}    `)}${indent}}` : own
      return `${comment(schema, indent)}${indent}${key}${isOptional(schema) ? '?' : ''}: ${value};\n`
    })
    .join('')
}

/** `source` with every alias of an object schema as a documented interface. */
export function documentTypes(source, schemas, file) {
  return source.replace(alias, (line, name, schemaName) => {
    const schema = schemas[schemaName]
    if (schema === undefined)
      throw new ScriptError('E_TYPES', `${file}: ${schemaName} is not exported, so ${name} stays undocumented`)
    const object = inside(schema)
    if (object.def.type !== 'object') return line
    return `export interface ${name} {\n${members(object, `z.input<typeof ${schemaName}>`, '    ')}}`
  })
}

export async function documentDist() {
  let documented = 0
  for (const file of listFiles('dist', /\.d\.ts$/)) {
    const path = join(root, file)
    const source = readFileSync(path, 'utf8')
    if (source.search(alias) < 0) continue
    const schemas = await import(pathToFileURL(path.replace(/\.d\.ts$/, '.js')).href)
    const result = documentTypes(source, schemas, file)
    if (result !== source) ++documented
    writeFileSync(path, result)
  }
  return documented
}

await runMain(import.meta, 'document-types', async () => {
  console.log(`document-types: ${await documentDist()} files`)
})
