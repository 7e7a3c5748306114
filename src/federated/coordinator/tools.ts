/** What the parts of a server work with. */
import type { BlobId, BlobStore } from '../blobs/blob-store.js'
import type { WorkQueue } from '../workers/work-queue.js'
import type { Book } from './book.js'
import type { CoordinatorEvent } from './events.js'
import type { Judge } from './judge.js'
import type { FederationLog } from './log.js'
import type { Members } from './members.js'
import type { Offers } from './offers.js'
import type { CoordinatorConfig } from './options.js'
import type { Privacy } from './privacy.js'
import type { Setup } from './setup.js'
import type { Waiters } from './waiters.js'

export interface Tools {
  readonly config: CoordinatorConfig
  readonly setup: Setup
  readonly book: Book
  readonly blobs: BlobStore
  /** Undefined: none is kept. */
  readonly log: FederationLog | undefined
  readonly members: Members
  /** Of a federation that hides clients. */
  readonly privacy: Privacy | undefined
  /** Who measures the global adapter; undefined: nobody. */
  readonly judge: Judge | undefined
  /** Where workers find answers to screen and sum; undefined: the server does it. */
  readonly queue: WorkQueue | undefined
  readonly offers: Offers
  readonly waiters: Waiters
  /** Blobs that clients have begun to send in the round under way, by client. */
  readonly uploads: Map<string, Set<BlobId>>
  /** Where the adapter is left; undefined: nowhere. */
  readonly folder: string | undefined
  /** Whether nothing is done but what is asked: no round begins or ends. */
  readonly asleep: boolean
  /** Milliseconds since the epoch. */
  now(): number
  /** Runs `act` after some milliseconds, unless what it gives is called before. */
  after(milliseconds: number, act: () => void): () => void
  /** Bytes that nobody can foretell. */
  random(bytes: number): Buffer
  tell(event: CoordinatorEvent): void
}
