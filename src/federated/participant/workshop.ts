/** Where a client's work is done: what the participant's loop asks of the model, the rows and the client's own limits. */
import type { Vectors } from '../algorithms/algorithm.js'
import type { BlobRef } from '../blobs/blob-store.js'
import type { OwnState } from '../client/own-state.js'
import type { Description } from '../link/messages.js'
import type { Answer, Task } from '../protocol/messages.js'
import type { ParticipantEvent } from './events.js'
import type { Prepared, Work } from './outbox.js'

export interface StepDone {
  step: number
  steps: number
  loss: number
}

export interface WorkContext {
  own: OwnState
  /** Fires when the work is not needed, or not wanted. */
  signal: AbortSignal
  onStep(done: StepDone): void
  /** Masks what is sent, by a whole weight; undefined: updates travel openly. */
  mask?: ((vectors: Readonly<Vectors>, weight: number) => NonNullable<Answer['masked']>) | undefined
}

/** What a client's work came to. */
export interface Done {
  answer: Answer
  /** What is sent, before encoding. */
  vectors: Vectors
  codec: string
}

/** Of the participant, as far as a workshop knows it. */
export interface WorkshopContext {
  signal: AbortSignal
  emit(event: ParticipantEvent): void
}

export interface Workshop {
  /** ε that the rows here have spent; undefined where they are not hidden. */
  readonly epsilon?: number | undefined
  /**
   * The federation is known: whether this client can work for it is found out before anything expensive.
   * @param download - brings a blob of the server to a file.
   * @throws FedloraError `E_BASE`, `E_CONFIG`, `E_DATA`, … when it cannot.
   */
  open(
    description: Description,
    context: WorkshopContext,
    download: (ref: BlobRef, path: string) => Promise<void>,
  ): Promise<void>
  /** @throws FedloraError `E_LIMIT` for work beyond what the client allows: the round is declined. */
  check(work: Work): Promise<void>
  /** Works. The same task gives the same answer. @throws FedloraError of the work, `E_LIMIT`; the signal's reason. */
  work(task: Task, work: Work, context: WorkContext): Promise<Done>
  /** The next byte of the answer leaves: what that costs is on disk when this returns. @throws FedloraError `E_LIMIT`: it stays here. */
  beforeSending(prepared: Prepared, work: Work): Promise<void>
}
