/** Local options that some clients have for themselves: given beside their rows, by name or pattern, or by a function. */
import { createHash } from 'node:crypto'
import { describeValue } from '../../errors/describe.js'
import { FedloraError } from '../../errors.js'
import { parseOptions } from '../../options/parse.js'
import { type FederationConfig, type FederationOptions, type LocalOverrides, overridesSchema } from '../options.js'
import type { Clients } from './clients.js'
import { checkPatterns, entriesFor } from './name-patterns.js'

type Local = FederationConfig['local']

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

function tableOf(overrides: FederationOptions['overrides']): Record<string, LocalOverrides> {
  if (overrides === undefined || typeof overrides === 'function') return {}
  if (typeof overrides === 'object' && overrides !== null && !Array.isArray(overrides)) return overrides
  const message = `overrides: got ${describeValue(overrides)}, expected { name or pattern: options }, or a function of a name`
  throw new FedloraError('E_CONFIG', message)
}

/** The same options whatever order they were given in. */
const sorted = (local: object) => Object.entries(local).sort(([a], [b]) => (a < b ? -1 : 1))

/** The local options of each client, by index. */
export interface Locals {
  of(index: number): Local
  /** SHA-256 over what differs from the federation's; null when nothing does. */
  readonly fingerprint: string | null
}

/**
 * @param overrides - as given to `simulate`.
 * @throws FedloraError `E_CONFIG` for wrong options of a client, and for a pattern that no client's name matches.
 */
export function openLocals(local: Local, overrides: FederationOptions['overrides'], clients: Clients): Locals {
  const table = tableOf(overrides)
  const own = Array.from({ length: clients.length }, (_, index) => {
    const name = clients.name(index)
    const layers: [LocalOverrides | undefined, string][] = []
    for (const [pattern, given] of entriesFor(table, name)) layers.push([given, `overrides['${pattern}']`])
    if (typeof overrides === 'function') layers.push([overrides(name), `overrides('${name}')`])
    layers.push([clients.own(index).local, `clients '${name}', local`])
    return layers.reduce<{ local: Local; differs: boolean }>(
      (before, [given, what]) => {
        const part = checked(given, what)
        const differs = before.differs || Object.keys(part).length > 0
        return { local: merged(before.local, part, what), differs }
      },
      { local, differs: false },
    )
  })
  checkPatterns(table, clients, 'overrides')
  const differing = own.flatMap(({ local, differs }, index) =>
    differs ? [[clients.name(index), sorted({ ...local, schedule: undefined })]] : [],
  )
  const fingerprint =
    differing.length === 0 ? null : createHash('sha256').update(JSON.stringify(differing)).digest('hex')
  return { of: (index) => own[index]!.local, fingerprint }
}
