/** Who the node is to the server: the id that it was given is kept (`node.json`), so that a restart goes on at once. */
import { join } from 'node:path'
import { FedloraError } from '../../errors.js'
import { writeJsonFile } from '../../files/json.js'
import type { Fleet } from '../fleet/fleet.js'
import { fleetCodes, isRefusal } from '../fleet/refusal.js'
import { pause } from '../fleet/retry.js'
import type { NodeKey } from '../key/key.js'
import { readBytes } from './files.js'
import type { Pace } from './pace.js'

interface Place {
  fleet: Fleet
  key: NodeKey
  folder: string
  pace: Pace
  signal: AbortSignal
  onWait(seconds: number, message: string): void
}

const version = 1

/** The id that this server gave this key; undefined when none is known. */
async function storedId({ fleet, key, folder }: Place): Promise<bigint | undefined> {
  const bytes = await readBytes(join(folder, 'node.json'))
  try {
    const stored = JSON.parse(bytes?.toString('utf8') ?? 'null')
    const same = stored.version === version && stored.server === fleet.url.origin && stored.key === key.fingerprint
    return same && /^\d{1,20}$/.test(stored.nodeId) ? BigInt(stored.nodeId) : undefined
  } catch {
    return undefined // it can be asked for again
  }
}

/** True when the server takes the node for present; false when it does not know it. @throws as `Fleet.call`. */
export async function beat(fleet: Fleet, nodeId: bigint, heartbeat: number): Promise<boolean> {
  try {
    return (await fleet.call('send-node-heartbeat', { node: { nodeId }, heartbeatInterval: heartbeat })).success
  } catch (error) {
    if (error instanceof FedloraError && error.code === 'E_AUTH') return false // no node of this key
    throw error
  }
}

/** Makes the key known, unless the operator or an earlier call has. */
async function register({ fleet, key }: Place): Promise<void> {
  try {
    await fleet.call('register-node', { publicKey: key.publicPem })
  } catch (error) {
    const known = [fleetCodes.keyInUse, fleetCodes.registrationByOperator].some((code) => isRefusal(error, 412, code))
    if (!known) throw error
  }
}

/** A node of this key that vanished counts as present for twice its interval; only then another may take its place. */
async function activate({ fleet, key, pace, signal, onWait }: Place): Promise<bigint> {
  const until = Date.now() + 1000 * pace.heartbeat * (2 + 1 / 3)
  for (;;) {
    try {
      const request = { publicKey: key.publicPem, heartbeatInterval: pace.heartbeat }
      return (await fleet.call('activate-node', request)).nodeId
    } catch (error) {
      if (!isRefusal(error, 412, fleetCodes.activationRefused)) throw error
      const cure = 'register its .pub file there (flwr supernode register), and stop whoever else runs with this key'
      if (Date.now() >= until) {
        const message = `flower: the server does not take the node up: ${cure}`
        throw new FedloraError('E_AUTH', message, { ...(error as FedloraError).details }, error)
      }
      const seconds = Math.max(0.05, pace.heartbeat / 6)
      onWait(seconds, `the server does not take the node up yet: ${cure}`)
      await pause(seconds, signal)
    }
  }
}

/**
 * Joins: with the id of an earlier time when the server still knows it, else anew.
 * @throws FedloraError `E_AUTH`, `E_CLOCK`, `E_PROTOCOL`, `E_IO`; the signal's reason.
 */
export async function enter(place: Place): Promise<{ nodeId: bigint; again: boolean }> {
  const { fleet, key, folder, pace } = place
  const stored = await storedId(place)
  if (stored !== undefined && (await beat(fleet, stored, pace.heartbeat))) return { nodeId: stored, again: true }
  await register(place)
  const nodeId = await activate(place)
  await writeJsonFile(join(folder, 'node.json'), {
    version,
    server: fleet.url.origin,
    key: key.fingerprint,
    nodeId: String(nodeId),
  })
  return { nodeId, again: false }
}
