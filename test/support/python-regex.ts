/** Patterns that Python has judged (test/golden/regex/make_patterns.py), and where ours judges otherwise. */
import { isFedloraError } from '../../src/errors.js'
import { PythonPattern } from '../../src/model/python-regex/match.js'

export interface PatternGolden {
  names: string[]
  /** Pattern; mask of the names that fullmatch, or 'error'; mask of those it matches as a key of rank_pattern; groups. */
  patterns: [pattern: string, whole: string, ending?: string, groups?: (string | null)[]][]
}

function compiled(source: string): PythonPattern | 'error' | 'unsupported' {
  try {
    return new PythonPattern(source)
  } catch (error) {
    if (isFedloraError(error, 'E_UNSUPPORTED')) return 'unsupported'
    if (isFedloraError(error, 'E_CONFIG')) return 'error'
    throw error
  }
}

function mask(names: readonly string[], matches: (name: string) => unknown): string {
  return names.reduce((bits, name, i) => (matches(name) ? bits | (1n << BigInt(i)) : bits), 0n).toString(16)
}

/** What is told otherwise than Python does. `\N{…}` alone may be refused, and, with `endless`, what takes too many turns. */
export function differences({ names, patterns }: PatternGolden, endless?: string[]): string[] {
  return patterns.flatMap((one) => {
    try {
      return differencesOf(one, names)
    } catch (error) {
      if (endless === undefined || !/does not come to an end/.test((error as Error).message)) throw error
      endless.push(one[0])
      return []
    }
  })
}

function differencesOf(
  [source, whole, ending, groups]: PatternGolden['patterns'][number],
  names: readonly string[],
): string[] {
  const found: string[] = []
  const tell = (what: string, got: unknown, want: unknown) =>
    found.push(`${JSON.stringify(source)} ${what}: got ${JSON.stringify(got)}, Python ${JSON.stringify(want)}`)
  const pattern = compiled(source)
  if (pattern === 'unsupported') {
    if (!source.includes('\\N')) tell('refused', pattern, whole)
    return found
  }
  if (pattern === 'error' || whole === 'error') {
    if (pattern !== whole) tell('compiles', pattern === 'error' ? pattern : 'yes', whole)
    return found
  }
  const got = mask(names, (name) => pattern.fullmatch(name))
  if (got !== whole) tell('fullmatch', got, whole)
  const key = compiled(`(.*\\.)?(${source})$`)
  const gotEnding = typeof key === 'string' ? key : mask(names, (name) => key.match(name))
  if (gotEnding !== ending) tell('as a key', gotEnding, ending)
  if (groups === undefined) return found
  const match = names.map((name) => pattern.fullmatch(name)).find((one) => one !== undefined)
  const gotGroups = groups.map((_, i) => match?.group(i + 1) ?? null)
  if (JSON.stringify(gotGroups) !== JSON.stringify(groups)) tell('groups', gotGroups, groups)
  return found
}
