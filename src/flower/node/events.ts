/** What a node tells while it takes part, and when it ends. */
import type { ErrorCode } from '../../errors.js'

/** What an instruction is, in every event about it. */
export interface About {
  /** The message's id. */
  id: string
  runId: string
  /** `train`, `evaluate`, `query`, or one of these with `.action`. */
  kind: string
  /** The server's round, where it says it. */
  round?: number
}

export type NodeEvent =
  /** The server knows the node. `again`: by an id of an earlier time. */
  | { type: 'joined'; url: string; nodeId: string; again: boolean }
  | ({ type: 'instruction'; bytes: number } & About)
  /** The work is done, and its reply lies in the outbox. Metrics: integers and floats alike as numbers. */
  | ({ type: 'reply'; bytes: number; seconds: number; metrics: Record<string, number> } & About)
  /** The work was refused or failed, and the reply says so. */
  | ({ type: 'refused'; code: ErrorCode; message: string } & About)
  /** The server has all of a reply. */
  | { type: 'delivered'; id: string; bytes: number }
  /** An instruction or a reply is of no use any more: its run is over, it was withdrawn, it is too late. */
  | { type: 'dropped'; id: string; reason: string }
  /** The server cannot be reached or is in trouble; the next try is in `seconds`. */
  | { type: 'waiting'; method: string; seconds: number; message: string }
  | { type: 'warning'; message: string }

/** What became of a node's time. */
export interface NodeResult {
  nodeId: string
  /** Replies that the server has. */
  delivered: number
  /** Of these: errors. */
  refused: number
  dropped: number
  /** Why it ended: nothing came for `idle` seconds, or it was stopped. */
  finishReason: 'idle' | 'stopped'
}
