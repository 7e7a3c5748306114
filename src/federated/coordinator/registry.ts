/** Who may come in: decisions over the state, without effects. Tokens are known by their hashes alone. */
import { createHash } from 'node:crypto'
import { FedloraError } from '../../errors.js'
import type { RecordOf } from './records.js'
import type { State, Token } from './state.js'

export const hashOfToken = (token: string): string => createHash('sha256').update(token).digest('hex')

const longestName = 200

/** @throws FedloraError `E_ARGUMENT` for what is no name of a client. */
export function checkName(name: unknown): asserts name is string {
  const good = typeof name === 'string' && name.length > 0 && name.length <= longestName
  if (good && !/[\p{Control}\p{Surrogate}]/u.test(name)) return
  const message = `a client's name: got ${JSON.stringify(name)}, expected 1 to ${longestName} characters without control characters`
  throw new FedloraError('E_ARGUMENT', message, { name })
}

/** @throws FedloraError `E_AUTH` for what is no Ed25519 public key, raw, as base64url: keys of a secure aggregation are signed with it. */
export function checkKey(key: unknown): void {
  const bytes = Buffer.from(String(key), 'base64url')
  if (bytes.length === 32 && bytes.toString('base64url') === key) return
  const message = `the client's key: got ${JSON.stringify(key)}, expected an Ed25519 public key, 32 bytes as base64url: secure aggregation signs with it`
  throw new FedloraError('E_AUTH', message)
}

/**
 * The record of a client that comes in; undefined: it is in already, with this token and key.
 * @throws FedloraError `E_TOKEN`, `E_TOKEN_USED`, `E_AUTH`.
 */
export function enrolment(state: State, token: string, key: string, now: number): RecordOf<'enrolled'> | undefined {
  const hash = hashOfToken(String(token))
  const found = state.tokens.get(hash)
  if (found === undefined) {
    throw new FedloraError(
      'E_TOKEN',
      'the join token is unknown: it was mistyped, or its client was shut out; ask for another',
    )
  }
  const { client } = found
  if (found.key === key) return undefined
  if (found.key !== undefined) {
    throw new FedloraError(
      'E_TOKEN_USED',
      `the join token of client ${client} was used on another machine; ask for another`,
    )
  }
  if (now > found.expires) {
    throw new FedloraError('E_TOKEN', `the join token of client ${client} has expired; ask for another`)
  }
  const owner = state.keys.get(key)
  if (owner !== undefined && owner !== client) {
    throw new FedloraError('E_AUTH', `this key is that of client ${owner}; client ${client} needs one of its own`)
  }
  return { type: 'enrolled', at: now, client, token: hash, key }
}

/**
 * The records of a client that comes in by a proof of its name; none: it is in already, with this key.
 * @param token - hash of one that nobody knows, for a client that has no invitation.
 * @throws FedloraError `E_REVOKED` for one that was shut out and not invited since; `E_AUTH`.
 */
export function admission(
  state: State,
  client: string,
  key: string,
  { token, now }: { token: string; now: number },
): RecordOf<'invited' | 'enrolled'>[] {
  const owner = state.keys.get(key)
  if (owner !== undefined && owner !== client) {
    throw new FedloraError('E_AUTH', `the key of client ${client} is client ${owner}'s; each has its own`, { client })
  }
  const shutOut = state.members.get(client)?.revoked === true
  if (owner === client && !shutOut) return []
  const isOwn = ([, known]: [string, Token]) =>
    known.client === client && known.key === undefined && known.expires >= now
  const invitation = [...state.tokens].find(isOwn)?.[0]
  if (shutOut && invitation === undefined) checkMember(state.members, client)
  const enrolled = { type: 'enrolled', at: now, client, token: invitation ?? token, key } as const
  return invitation === undefined ? [{ type: 'invited', at: now, client, token, expires: now }, enrolled] : [enrolled]
}

/** @throws FedloraError `E_AUTH`, `E_REVOKED`. */
export function clientOf({ keys, members }: State, key: string): string {
  const client = keys.get(key)
  if (client === undefined) throw new FedloraError('E_AUTH', 'this key is that of no client; join with a token first')
  checkMember(members, client)
  return client
}

/** @throws FedloraError `E_AUTH` for nobody's name, `E_REVOKED`. */
export function checkMember(members: State['members'], client: string): void {
  const member = members.get(client)
  if (member === undefined) throw new FedloraError('E_AUTH', `client ${client} has not joined`, { client })
  if (!member.revoked) return
  throw new FedloraError('E_REVOKED', `client ${client} was shut out by the operator of the federation`, { client })
}
