/** Sends a reply from the outbox: the message, then the objects that the server does not have yet. */
import { FedloraError } from '../../errors.js'
import type { Fleet } from '../fleet/fleet.js'
import { isRefusal } from '../fleet/refusal.js'
import { backOff, pause } from '../fleet/retry.js'
import { fleetMethods } from '../wire/fleet.js'
import type { Outbox } from './outbox.js'
import type { Pace } from './pace.js'

/** A server forgets a message whose objects do not come in time (180 s each); then all is sent again, so often. */
const attempts = 8

export interface Delivered {
  bytes: number
  /** Why the server does not want it any more. */
  dropped?: string
}

/** Objects of one attempt; undefined when the server has given the message up. */
async function pushObjects(fleet: Fleet, outbox: Outbox, id: string): Promise<number | undefined> {
  const push = await outbox.push(id)
  const { node, messages } = fleetMethods['push-messages'].request.decode(push)
  const { runId } = messages[0]?.metadata ?? {}
  const { objectsToPush, sessionId } = await fleet.send('push-messages', push)
  let bytes = push.length
  for (const objectId of objectsToPush) {
    const content = await outbox.object(id, objectId)
    const { stored } = await fleet.call('push-object', { node, runId, objectId, content, sessionId })
    if (!stored) return undefined
    bytes += content.length
  }
  return bytes
}

/**
 * @returns when the server has all of it, or wants none of it (403: the run is over, or not this node's; 400 and 500: it knows no such run).
 * @throws FedloraError as `Fleet.call`; the signal's reason.
 */
export async function deliver(
  fleet: Fleet,
  outbox: Outbox,
  id: string,
  pace: Pace,
  signal: AbortSignal,
): Promise<Delivered> {
  try {
    for (let attempt = 0; attempt < attempts; attempt++) {
      const bytes = await pushObjects(fleet, outbox, id)
      if (bytes !== undefined) return { bytes }
      await pause(backOff(attempt, pace), signal)
    }
    return { bytes: 0, dropped: `the server did not store its objects in ${attempts} attempts` }
  } catch (error) {
    if (!(error instanceof FedloraError) || ![400, 403, 500].some((status) => isRefusal(error, status))) throw error
    return { bytes: 0, dropped: error.message }
  }
}
