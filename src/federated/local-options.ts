/** Local options that one client has for itself: the federation's, and what was given for it by name or pattern. */
import { FedloraError } from '../errors.js'
import { parseOptions } from '../options/parse.js'
import { entriesFor } from './name-patterns.js'
import { type FederationConfig, type LocalOverrides, overridesSchema } from './options.js'

type Local = FederationConfig['local']

/** What was given for a client, and what it is called in messages. */
export type GivenLocal = [given: LocalOverrides | undefined, what: string]

/** What was given: a client's own options have no defaults, and one that is undefined is not given. */
function checked(overrides: LocalOverrides | undefined, what: string): Partial<Local> {
  if (overrides === undefined) return {}
  const parsed = parseOptions(overridesSchema, overrides, what) as Record<string, unknown>
  return Object.fromEntries(Object.entries(parsed).filter(([, value]) => value !== undefined))
}

function merged(local: Local, own: Partial<Local>, what: string): Local {
  const both = { ...local, ...own }
  if (own.steps !== undefined && own.epochs !== undefined) {
    throw new FedloraError('E_CONFIG', `${what}: expected either steps or epochs`)
  }
  if (own.steps !== undefined) delete both.epochs
  if (own.epochs !== undefined) delete both.steps
  return both
}

/** What a table by name or pattern gives a client. */
export const entriesBy = (table: Readonly<Record<string, LocalOverrides>>, name: string): GivenLocal[] =>
  entriesFor(table, name).map(([pattern, given]) => [given, `overrides['${pattern}']`])

/**
 * The local options of a client, later layers over earlier ones; and whether they differ from `local`.
 * @throws FedloraError `E_CONFIG` for wrong options.
 */
export function layered(local: Local, layers: readonly GivenLocal[]): { local: Local; differs: boolean } {
  return layers.reduce<{ local: Local; differs: boolean }>(
    (before, [given, what]) => {
      const part = checked(given, what)
      const differs = before.differs || Object.keys(part).length > 0
      return { local: merged(before.local, part, what), differs }
    },
    { local, differs: false },
  )
}
