/** The federation of a server's folder, for whoever has it: a server that runs, or an operator's word while none does. */
import { join } from 'node:path'
import { FedloraError } from '../errors.js'
import { openDirectoryBlobs } from '../federated/blobs/directory.js'
import { Coordinator } from '../federated/coordinator/coordinator.js'
import type { CoordinatorEvent } from '../federated/coordinator/events.js'
import type { Judge } from '../federated/coordinator/judge.js'
import type { Record as Entry } from '../federated/coordinator/records.js'
import { certificateNames, publicAddress } from '../federated/https/addresses.js'
import { formatJoinToken } from '../federated/https/join-token.js'
import { openSigningKey } from '../federated/https/keys.js'
import { openIdentity } from '../federated/https/tls-folder.js'
import { openFileJournal } from '../federated/journal/file.js'
import { makeFolder } from '../files/atomic.js'
import { NatsSide, type Standby, ticketOf } from './nats.js'
import type { ServerConfig } from './options.js'

/** A federation that is open, and where it lies beside its folder. */
export interface Opened {
  coordinator: Coordinator
  nats: NatsSide | undefined
  /** Both, after what is under way. */
  close(): Promise<void>
}

/**
 * @param standby - of a server: what it does while another one leads; absent: no round begins or ends, nothing is measured, and nobody waits.
 * @throws FedloraError `E_LOCKED` while another process has it; as `Coordinator.open`, `NatsSide.open`, `openJudge`.
 */
export async function openFolder(
  options: ServerConfig,
  standby?: Standby,
  onEvent?: (event: CoordinatorEvent) => void,
): Promise<Opened> {
  const { folder, coordinator: config } = options
  await makeFolder(folder)
  const opened: { close(): Promise<void> }[] = []
  const having = <Part extends { close(): Promise<void> }>(part: Part): Part => {
    opened.unshift(part)
    return part
  }
  try {
    const nats = options.nats && having(await NatsSide.open(options.nats, folder, config.workers, standby))
    const journal = having(nats?.journal ?? (await openFileJournal<Entry>(join(folder, 'journal'))))
    const blobs = having(nats?.blobs ?? (await openDirectoryBlobs(join(folder, 'blobs'))))
    const asleep = standby === undefined
    const judge = asleep ? undefined : await judgeOf(options)
    if (judge !== undefined) having(judge)
    const coordinator = await Coordinator.open({
      folder,
      journal,
      blobs,
      queue: nats?.queue,
      config,
      judge,
      onEvent,
      asleep,
    })
    if (nats !== undefined) nats.lease.onLost = (error) => coordinator.giveUp(error)
    const close = async () => {
      await coordinator.close()
      await nats?.close()
    }
    return { coordinator, nats, close }
  } catch (error) {
    for (const part of opened) await part.close()
    throw error
  }
}

/** The model is loaded, and the code that loads it, where something is measured. */
async function judgeOf({ evaluate, coordinator }: ServerConfig): Promise<Judge | undefined> {
  if (evaluate === undefined) return undefined
  const { openJudge } = await import('./judge.js')
  return await openJudge(evaluate, coordinator)
}

/**
 * A join token of a server that does not run; over NATS alone the client's file.
 * @throws FedloraError `E_CONFIG` when nobody knows its address.
 */
export async function inviteAsleep(
  { folder, listen, tls, https }: ServerConfig,
  coordinator: Coordinator,
  name: string,
  seconds: number,
): Promise<string> {
  if (!https) {
    await coordinator.invite(name, seconds)
    return ticketOf(name)
  }
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
