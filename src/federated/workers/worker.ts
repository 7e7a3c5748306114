/** A worker: takes one assignment after the other, and hands back what has come of it. It keeps nothing, and may be killed at any time. */
import { isFedloraError } from '../../errors.js'
import type { BlobStore } from '../blobs/blob-store.js'
import { isRetryable, systemTime } from '../link/retry.js'
import { readAssignment } from './assignment.js'
import { foldAssignment } from './fold.js'
import type { Taken, WorkQueue } from './work-queue.js'

/** Milliseconds between two tries of what finds nobody. */
const pause = 1000

export type WorkerEvent =
  /** An assignment is summed and handed back. */
  | { type: 'folded'; round: number; assignment: string; accepted: number; refused: number; seconds: number }
  /** Nobody needs an assignment any more: its round has ended. */
  | { type: 'dropped'; assignment: string }
  /** Something went wrong that the worker goes on from. */
  | { type: 'trouble'; code: string; message: string }

export interface WorkerParts {
  queue: WorkQueue
  blobs: BlobStore
  /** Ends it, behind the assignment that it is at. */
  signal: AbortSignal
  onEvent?: (event: WorkerEvent) => void
}

/** Works until `signal` comes. @throws FedloraError for what no other try would mend, such as `E_AUTH`. */
export async function workOff({ queue, blobs, signal, onEvent = () => {} }: WorkerParts): Promise<void> {
  while (!signal.aborted) {
    try {
      const taken = await queue.take(signal)
      if (taken !== undefined) onEvent(await workOn(taken, blobs))
    } catch (error) {
      if (!isRetryable(error)) throw error
      onEvent({ type: 'trouble', ...toldOf(error) })
      await systemTime.sleep(pause, signal).catch(() => {})
    }
  }
}

function toldOf(error: unknown): { code: string; message: string } {
  return isFedloraError(error) ? error : { code: 'E_INTERNAL', message: String(error) }
}

async function workOn(taken: Taken, blobs: BlobStore): Promise<WorkerEvent> {
  const { id } = taken
  const started = performance.now()
  try {
    const assignment = readAssignment(await blobs.read(id))
    const result = await foldAssignment(id, assignment, blobs, () => taken.working())
    await taken.done(result)
    const seconds = (performance.now() - started) / 1000
    const [accepted, refused] = [result.accepted.length, result.refused.length]
    return { type: 'folded', round: assignment.round, assignment: id, accepted, refused, seconds }
  } catch (error) {
    if (isFedloraError(error, 'E_BLOB_MISSING')) {
      await taken.drop().catch(() => {}) // it comes again
      return { type: 'dropped', assignment: id }
    }
    await taken.again().catch(() => {}) // the queue loses its patience
    if (isRetryable(error)) throw error
    return { type: 'trouble', ...toldOf(error) }
  }
}
