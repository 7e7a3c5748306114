/** Fields of the config file set on the command line: `--train.epochs 2`, `--set train.epochs=2`. */
import type { z } from 'zod'
import type { Json } from '../files/json.js'
import { schemasAt } from '../options/schema-paths.js'
import { suggestion } from './arguments.js'
import { UsageError } from './usage.js'

export interface Override {
  path: string[]
  value: unknown
}

/** `a.b=text` as path and text. */
function split(setting: string): { path: string[]; text: string } {
  const at = setting.indexOf('=')
  const path = (at < 0 ? '' : setting.slice(0, at)).split('.')
  if (path.some((part) => !/^[\w$-]+$/.test(part) || part === '__proto__')) {
    throw new UsageError(`--set: got "${setting}", expected section.field=value, such as train.epochs=2`)
  }
  return { path, text: setting.slice(at + 1) }
}

/** The text as the type that the schema wants: as JSON where that fits, else as it stands. */
function typed(text: string, schemas: readonly z.ZodType[]): unknown {
  const candidates: unknown[] = []
  try {
    candidates.push(JSON.parse(text))
  } catch {} // no JSON: a plain text
  candidates.push(text)
  return candidates.find((one) => schemas.some((schema) => schema.safeParse(one).success)) ?? candidates[0]
}

/**
 * Reads the settings; the values have the types of the sections' schemas.
 * @throws UsageError for a section that the command does not know, and for a field that is set twice.
 */
export function readOverrides(
  settings: readonly string[],
  command: string,
  sections: Readonly<Record<string, z.ZodType>>,
): Override[] {
  const seen = new Set<string>()
  return settings.map((setting) => {
    const { path, text } = split(setting)
    const [section, ...field] = path
    const schema = Object.hasOwn(sections, section!) ? sections[section!] : undefined
    const name = `--${path.join('.')}`
    if (schema === undefined) {
      const known = Object.keys(sections)
      throw new UsageError(
        `${name}: unknown section "${section}"${suggestion(section!, known)}; fedlora ${command} knows ${known.join(', ')}`,
        { flag: name },
      )
    }
    if (seen.has(name)) throw new UsageError(`${name} is given twice`, { flag: name })
    seen.add(name)
    return { path, value: typed(text, schemasAt(schema, field)) }
  })
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Fields of which a later layer's choice replaces the earlier one's. */
const alternatives: Readonly<Record<string, readonly (readonly string[])[]>> = {
  train: [
    ['epochs', 'maxSteps'],
    ['warmupSteps', 'warmupRatio'],
  ],
  'federation.local': [['steps', 'epochs']],
}

/** `lower` with the fields of `upper` laid over it, object by object; `replacing`: alternatives of what `upper` has go from `lower`. */
export function overlay(lower: Json, upper: Json, replacing = true, at = ''): Json {
  const result = { ...lower }
  for (const group of replacing ? (alternatives[at] ?? []) : []) {
    if (group.some((field) => upper[field] !== undefined)) for (const field of group) delete result[field]
  }
  for (const [key, value] of Object.entries(upper)) {
    const below = result[key]
    const path = at === '' ? key : `${at}.${key}`
    result[key] = isObject(value) && isObject(below) ? overlay(below, value, replacing, path) : value
  }
  return result
}

/** The overrides as a config of their own. */
export function asConfig(overrides: readonly Override[]): Json {
  let config: Json = {}
  for (const { path, value } of overrides) {
    config = overlay(config, path.reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as Json, false)
  }
  return config
}
