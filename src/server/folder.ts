/** The federation of a server's folder, for whoever has it: a server that runs, or an operator's word while none does. */
import { join } from 'node:path'
import { FedloraError } from '../errors.js'
import { openDirectoryBlobs } from '../federated/blobs/directory.js'
import { Coordinator } from '../federated/coordinator/coordinator.js'
import type { Record as Entry } from '../federated/coordinator/records.js'
import { certificateNames, publicAddress } from '../federated/https/addresses.js'
import { formatJoinToken } from '../federated/https/join-token.js'
import { openSigningKey } from '../federated/https/keys.js'
import { openIdentity } from '../federated/https/tls-folder.js'
import { openFileJournal } from '../federated/journal/file.js'
import { makeFolder } from '../files/atomic.js'
import type { ServerConfig } from './options.js'

/**
 * @param asleep - no round begins or ends.
 * @throws FedloraError `E_LOCKED` while another process has it; as `Coordinator.open`.
 */
export async function openFolder({ folder, coordinator: config }: ServerConfig, asleep: boolean): Promise<Coordinator> {
  await makeFolder(folder)
  const journal = await openFileJournal<Entry>(join(folder, 'journal'))
  try {
    const blobs = await openDirectoryBlobs(join(folder, 'blobs'))
    return await Coordinator.open({ folder, journal, blobs, config, asleep })
  } catch (error) {
    await journal.close()
    throw error
  }
}

/** A join token of a server that does not run. @throws FedloraError `E_CONFIG` when nobody knows its address. */
export async function inviteAsleep(
  { folder, listen, tls }: ServerConfig,
  coordinator: Coordinator,
  name: string,
  seconds: number,
): Promise<string> {
  if (listen.port === 0 && listen.publicUrl === undefined) {
    const message =
      'listen.port is 0: nobody knows the address of a server that does not run; start it first, or give it a port'
    throw new FedloraError('E_CONFIG', message, { field: 'listen.port' })
  }
  const { run } = await coordinator.describe()
  await makeFolder(join(folder, 'tls'))
  const key = await openSigningKey(join(folder, 'tls', 'run.key'))
  const names = tls === false ? [] : tls.names
  const identity = tls === false ? undefined : await openIdentity(folder, tls, certificateNames(listen, names), run)
  const address = publicAddress(listen, names, listen.port)
  const { token: secret } = await coordinator.invite(name, seconds)
  const pin = identity?.pin
  return formatJoinToken({ address, run, key: key.name, secret, ...(pin !== undefined && { pin }) })
}
