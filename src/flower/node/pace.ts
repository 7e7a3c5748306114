/** How often things happen, in seconds. */
import type { BackOff } from '../fleet/retry.js'

export interface Pace extends BackOff {
  /** Between questions for a message. */
  poll: number
  /** The server takes a node for gone that was silent for twice as long; 10 to 1,800. */
  heartbeat: number
  /** A reply is kept, and the node stays, for so long after it was sent: the server's application fetches it every 3 s. */
  grace: number
}

export const usualPace: Pace = { shortest: 0.5, longest: 20, poll: 3, heartbeat: 30, grace: 30 }
