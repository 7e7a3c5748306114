/** Walking an option schema by the path of a key, through defaults, optionals, pipes and unions. */
import { z } from 'zod'

/** Names that keys had before: whoever writes one is told the key's name. */
export const formerNames = z.registry<{ name: string }>()

interface Definition {
  innerType?: z.ZodType
  in?: z.ZodType
  options?: z.ZodType[]
  shape?: Record<string, z.ZodType>
  element?: z.ZodType
  valueType?: z.ZodType
}

function definitionOf(schema: z.ZodType): Definition {
  return (schema as unknown as { def?: Definition }).def ?? {}
}

/** The schema behind defaults, optionals and pipes; every branch of a union. */
function branches(schema: z.ZodType): z.ZodType[] {
  const { innerType, in: input, options } = definitionOf(schema)
  const inner = innerType ?? input
  if (inner !== undefined) return branches(inner)
  return Array.isArray(options) ? options.flatMap(branches) : [schema]
}

/** What may stand at `path`; empty for a path that the schema does not know. */
export function schemasAt(schema: z.ZodType, path: readonly PropertyKey[]): z.ZodType[] {
  const here = branches(schema)
  if (path.length === 0) return here
  const [head, ...rest] = path
  return here.flatMap((one) => {
    const { shape, element, valueType } = definitionOf(one)
    const next = (shape && Object.hasOwn(shape, head!) ? shape[String(head)] : undefined) ?? element ?? valueType
    return next === undefined ? [] : schemasAt(next, rest)
  })
}

/** The keys that objects at `path` know. */
export function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  return [...new Set(schemasAt(schema, path).flatMap((one) => Object.keys(definitionOf(one).shape ?? {})))]
}

/** The key at `path` that had the name `former` before. */
export function renamedKey(schema: z.ZodType, path: readonly PropertyKey[], former: string): string | undefined {
  const keys = schemasAt(schema, path).flatMap((one) => Object.entries(definitionOf(one).shape ?? {}))
  return keys.find(([, value]) => formerNames.get(value)?.name === former)?.[0]
}
