/** Local options that some clients have for themselves: given beside their rows, by name or pattern, or by a function. */
import { createHash } from 'node:crypto'
import { describeValue } from '../../errors/describe.js'
import { FedloraError } from '../../errors.js'
import { entriesBy, type GivenLocal, layered } from '../local-options.js'
import { checkPatterns } from '../name-patterns.js'
import type { FederationConfig, FederationOptions, LocalOverrides } from '../options.js'
import { type Clients, namesOf } from './clients.js'

type Local = FederationConfig['local']

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
    const layers: GivenLocal[] = entriesBy(table, name)
    if (typeof overrides === 'function') layers.push([overrides(name), `overrides('${name}')`])
    layers.push([clients.own(index).local, `clients '${name}', local`])
    return layered(local, layers)
  })
  checkPatterns(table, namesOf(clients), 'overrides')
  const differing = own.flatMap(({ local, differs }, index) =>
    differs ? [[clients.name(index), sorted({ ...local, schedule: undefined })]] : [],
  )
  const fingerprint =
    differing.length === 0 ? null : createHash('sha256').update(JSON.stringify(differing)).digest('hex')
  return { of: (index) => own[index]!.local, fingerprint }
}
