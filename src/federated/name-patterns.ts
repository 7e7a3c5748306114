/** Tables by name of a client or by a pattern with `*`. */
import { FedloraError } from '../errors.js'

/** `*` stands for any text. */
function matches(pattern: string, name: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`, 's').test(name)
}

/** The entries of a table that a name matches, in the table's order. */
export function entriesFor<T>(table: Readonly<Record<string, T>>, name: string): [pattern: string, value: T][] {
  return Object.entries(table).filter(([pattern]) => matches(pattern, name))
}

/** @throws FedloraError `E_CONFIG` for the first pattern of a table that no client's name matches. */
export function checkPatterns(table: Readonly<Record<string, unknown>>, names: readonly string[], what: string): void {
  const unused = Object.keys(table).find((pattern) => !names.some((name) => matches(pattern, name)))
  if (unused === undefined) return
  const shown = `${names.slice(0, 8).join(', ')}${names.length > 8 ? ', …' : ''}`
  throw new FedloraError('E_CONFIG', `${what}: '${unused}' matches no client; their names are ${shown}`, {
    pattern: unused,
  })
}
