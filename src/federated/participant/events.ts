/** What a client of a federation tells a person while it takes part, and what it gives in the end. */
import type { ErrorCode } from '../../errors.js'
import type { Failure } from '../../run/failure.js'
import type { GapEvent } from '../../run/run-events.js'
import type { ProgressEvent } from '../../training/events.js'
import type { Outgoing } from './outgoing.js'

export type ParticipantEvent =
  /** The server's federation is one that this client can work for. */
  | { type: 'joined'; run: string; name: string; rounds: number; settled: number }
  /** Nothing to do: `for` the server's next word, or for the client's own hour. */
  | { type: 'waiting'; for: 'server' | 'eligibility'; why: string }
  /** Work of a round begins, or begins again. */
  | { type: 'work'; round: number; rounds: number; algorithm: string }
  /** An optimiser step; a round may train several times, each of so many steps. */
  | { type: 'step'; round: number; step: number; steps: number; loss: number }
  /** The answer has arrived. `epsilon`: what the rows here have spent with it, where the federation hides rows. */
  | ({ type: 'sent'; epsilon?: number } & Outgoing)
  /** A round has ended: the answer counts, or does not. */
  | { type: 'outcome'; round: number; counted: boolean; why?: string }
  /** Not this time: beyond a limit, or somebody has said no. */
  | { type: 'declined'; round: number; code: string; why: string }
  /** The work of a round failed; the client goes on with the next. */
  | { type: 'failed'; round: number; code: ErrorCode; why: string }
  /** A call is made again. */
  | { type: 'retry'; code: string; why: string; seconds: number }
  | { type: 'warning'; message: string }
  /** Rows are read, weights are hashed. */
  | ProgressEvent
  /** The federation has ended. */
  | { type: 'over'; rounds: number; counted: number; why?: string }
  | Failure
  | GapEvent

/** What taking part came to. */
export interface ParticipantResult {
  /** The federation. */
  run: string
  /** Rounds of the federation; null: it has not ended, this client has stopped. */
  rounds: number | null
  /** Answers of this client that counted. */
  counted: number
  /** Why the federation ended, where there is more to say than that its last round is done. */
  why?: string
}
