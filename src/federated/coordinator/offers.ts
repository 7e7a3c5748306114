/** Work as it is offered: a task whose vectors lie in blobs, put there once for all clients that get the same. */
import type { BlobId, BlobRef, BlobStore } from '../blobs/blob-store.js'
import type { Notice, Offer } from '../link/messages.js'
import type { Task } from '../protocol/messages.js'

/** What is told of a task beside it. */
interface Beside {
  /** Seconds until the round closes; null: it waits for ever. */
  deadline: number | null
  /** Options of the client's adapter and of its local work, where they are its own. */
  adapter: object | undefined
  local: object | undefined
  /** What the round's secure aggregation agrees on; undefined: updates travel openly. */
  secure: object | undefined
}

type Plain = NonNullable<Extract<Notice, { type: 'work' }>['local']>
const plain = (value: object) => JSON.parse(JSON.stringify(value)) as Plain

export class Offers {
  readonly #blobs: BlobStore
  #refs = new WeakMap<Uint8Array, Promise<BlobRef>>()
  /** Of the round under way. */
  #live = new Set<BlobId>()

  constructor(blobs: BlobStore) {
    this.#blobs = blobs
  }

  /** Another round: what was offered before is offered no more. */
  reset(): void {
    this.#live = new Set()
    this.#refs = new WeakMap()
  }

  isLive(id: BlobId): boolean {
    return this.#live.has(id)
  }

  /** Makes a message something that clients may read until the next round. */
  async put(message: Uint8Array): Promise<BlobRef> {
    const known = this.#refs.get(message) ?? this.#blobs.put(message)
    this.#refs.set(message, known)
    const ref = await known.catch((error: unknown) => {
      this.#refs.delete(message)
      throw error
    })
    this.#live.add(ref.blob)
    return ref
  }

  /** The blobs of messages, by name. */
  async refs(vectors: Task['vectors']): Promise<Offer['vectors']> {
    const refs: Offer['vectors'] = {}
    for (const [name, message] of Object.entries(vectors)) refs[name] = await this.put(message)
    return refs
  }

  /** A task as it is offered. */
  async of({ vectors, ...task }: Task): Promise<Offer> {
    return { ...task, vectors: await this.refs(vectors) }
  }
}

/** What a client is told of its work. */
export function workNotice(offer: Offer, { deadline, adapter, local, secure }: Beside): Notice {
  return {
    type: 'work',
    round: offer.round,
    offer,
    deadline,
    ...(adapter && { adapter: plain(adapter) }),
    ...(local && { local: plain(local) }),
    ...(secure && { secure: plain(secure) }),
  }
}
