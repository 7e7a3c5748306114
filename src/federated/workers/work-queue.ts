/**
 * Between a server and its workers: assignments that wait for one, and what comes back. Everything may be said twice; what is put and handed back is there
 * until somebody has said that it is dealt with, whoever dies on the way.
 */
import type { BlobId } from '../blobs/blob-store.js'
import type { Done } from './assignment.js'

export interface WorkQueue {
  /** Puts an assignment where workers find it. One that is there already is there once. */
  put(id: BlobId): Promise<void>
  /** An assignment that nobody is at work on, in the order in which they were put; undefined when `signal` comes first. */
  take(signal: AbortSignal): Promise<Taken | undefined>
  /**
   * Tells what workers hand back, also what they have before this was called. What `hear` fails on is told again after a while.
   * @returns what ends it, after what is under way.
   */
  results(hear: (done: Done) => Promise<void>): () => Promise<void>
  close(): Promise<void>
}

/** An assignment in the hands of one worker. One that says nothing for as long as the queue is patient has died: another is given it. */
export interface Taken {
  readonly id: BlobId
  /** A sign of life. */
  working(): Promise<void>
  /** Hands back; it is kept when this resolves, and nobody is given the assignment any more. */
  done(result: Done): Promise<void>
  /** Gives it back: somebody else is given it after a while. */
  again(): Promise<void>
  /** Nobody needs it. */
  drop(): Promise<void>
}
