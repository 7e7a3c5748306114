/** Option objects: one zod schema gives type, defaults and help; this file turns its complaints into one readable error. */
import type { z } from 'zod'
import { describeValue } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import { keysAt, renamedKey } from './schema-paths.js'

type Issue = z.core.$ZodIssue

/** Number of single-character edits between two words. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[b.length]!
}

/** The known word that `word` was probably meant to be, or undefined when none is near. */
export function closest(word: string, known: readonly string[]): string | undefined {
  const plain = (text: string) => text.toLowerCase().replace(/[-_]/g, '')
  let best: string | undefined
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1
  for (const candidate of known) {
    const sameBeginning =
      word.length >= 5 && plain(candidate).startsWith(plain(word).slice(0, Math.ceil(word.length * 0.8)))
    const distance = sameBeginning ? 1 : editDistance(plain(word), plain(candidate))
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

function at(value: unknown, path: readonly PropertyKey[]): unknown {
  let current = value
  for (const key of path) {
    if (current === null || typeof current !== 'object') return undefined
    current = (current as Record<PropertyKey, unknown>)[key]
  }
  return current
}

function pathText(path: readonly PropertyKey[]): string {
  return path.map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i === 0 ? '' : '.'}${String(key)}`)).join('')
}

function explain(issue: Issue, schema: z.ZodType, value: unknown, prefix: readonly PropertyKey[] = []): string {
  const path = [...prefix, ...issue.path]
  const where = pathText(path)
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(schema, path)
    return issue.keys
      .map((key) => {
        const renamed = renamedKey(schema, path, key)
        const meant = closest(key, known)
        const guess = meant === undefined ? `known: ${known.join(', ')}` : `did you mean "${meant}"?`
        const cure = renamed === undefined ? guess : `its name is "${renamed}"`
        return `unknown key "${pathText([...path, key])}" (${cure})`
      })
      .join('; ')
  }
  // An unknown discriminator has no branches, and says itself what it expects.
  if (issue.code === 'invalid_union' && issue.errors.length > 0) {
    const got = at(value, path)
    const branches = issue.errors.filter((branch) => branch.length > 0)
    const deeper = branches.find((branch) =>
      branch.some((one) => one.path.length > 0 || one.code === 'unrecognized_keys'),
    )
    if (deeper !== undefined && typeof got === 'object')
      return deeper.map((one) => explain(one, schema, value, path)).join('; ')
    const wanted = branches.map((branch) =>
      branch[0]!.message.replace(/^Invalid (input|option): expected /, '').replace(/, received .*$/, ''),
    )
    return `${where || 'the value'}: got ${describeValue(got)}, expected ${[...new Set(wanted)].join(' or ')}`
  }
  const expected = issue.message
    .replace(/^Invalid (input|option): expected /, 'expected ')
    .replace(/, received .*$/, '')
  return `${where || 'the value'}: got ${describeValue(at(value, path))}, ${expected}`
}

/** The key that an issue is about: of unknown keys the first one. */
function faultyKey(issue: Issue): PropertyKey[] {
  return issue.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0]!] : [...issue.path]
}

/**
 * Checks an option object and fills in its defaults.
 * @throws FedloraError `E_CONFIG` (`details.problems`: one text for each, `details.paths`: their keys) naming every wrong path, what stood there, what was expected, and for an unknown key the closest known one.
 */
export function parseOptions<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const problems = result.error.issues.map((issue) => explain(issue, schema, value))
  const paths = result.error.issues.map(faultyKey)
  throw new FedloraError('E_CONFIG', `${what}: ${problems.join('; ')}`, { problems, paths })
}
