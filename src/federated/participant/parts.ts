/** What a client takes part with. */
import type { RunContext } from '../../run/run.js'
import type { ClientLink } from '../link/link.js'
import type { Time } from '../link/retry.js'
import type { Eligibility } from './eligibility.js'
import type { ParticipantEvent } from './events.js'
import type { ClientFolder } from './folder.js'
import type { Outgoing } from './outgoing.js'
import type { Workshop } from './workshop.js'

/**
 * Sees what is about to be sent, before a byte of it leaves; anything but true: nothing is sent, and the round goes on without this client.
 * @param outgoing - `file`: where the bytes lie; undefined when no vector travels.
 */
export type Approve = (outgoing: Outgoing & { file: string | undefined }) => boolean | Promise<boolean>

export interface ParticipantParts {
  link: ClientLink
  /** The name that the server knows this client by; undefined: what it says is believed. */
  client?: string | undefined
  folder: ClientFolder
  workshop: Workshop
  eligibility: Eligibility
  /** Undefined: everything may go. */
  approve?: Approve | undefined
  time: Time
  /** Uniform in [0, 1): of the waits between calls. No result depends on it. */
  random(): number
}

export type Context = Pick<RunContext<ParticipantEvent>, 'emit' | 'signal'>

/** Calls, as often as it takes. */
export type Ask = <R>(call: (signal: AbortSignal) => Promise<R>) => Promise<R>
