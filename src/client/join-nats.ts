/**
 * How a client comes to its server through NATS: the file of `fedlora nats init` proves its name to NATS, and the key in its folder, made here, is
 * bound to that name:
 *
 *   client.key      its Ed25519 key; the private half never leaves
 */
import { join } from 'node:path'
import { openSigningKey, privateBytes } from '../federated/https/keys.js'
import type { ClientLink } from '../federated/link/link.js'
import { connectNats } from '../federated/nats/connect.js'
import { NatsLink } from '../federated/nats/link.js'
import { namesOf, tokenOf } from '../federated/nats/names.js'
import { unlessAborted } from '../federated/nats/patient.js'
import { readTicket } from '../federated/nats/ticket.js'
import { makeFolder } from '../files/atomic.js'

/**
 * @param path - the client's file. The link closes its connection.
 * @throws FedloraError `E_TOKEN` for a file that is none, `E_MISSING` without NATS' packages, `E_AUTH`, `E_REVOKED`, `E_UNREACHABLE`, `E_IO`.
 */
export async function joinNats(
  path: string,
  folder: string,
  signal: AbortSignal,
): Promise<{ link: ClientLink; client: string }> {
  const { url, space, client, credentials, authority } = await readTicket(path)
  await makeFolder(folder)
  const key = await openSigningKey(join(folder, 'client.key'))
  const names = namesOf(space)
  const inbox = names.inbox(tokenOf(client))
  const tls = authority === undefined ? undefined : { authority }
  const connecting = connectNats({ servers: url, credentials, tls, inbox })
  const connection = await unlessAborted(connecting, signal, (late) => void late.close())
  try {
    const identity = privateBytes(key)
    const link = await NatsLink.open({ connection, names, client, key: key.name, identity, owned: true, signal })
    return { link, client }
  } catch (error) {
    await connection.close()
    throw error
  }
}
