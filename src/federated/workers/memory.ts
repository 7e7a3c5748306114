/** A queue of work in one process. */
import type { BlobId } from '../blobs/blob-store.js'
import type { Done } from './assignment.js'
import type { Taken, WorkQueue } from './work-queue.js'

export interface MemoryQueueOptions {
  /** Milliseconds without a sign of life after which a worker has died. Default 30,000. */
  silence?: number
  /** Milliseconds after which what was given back, or not heard, comes again. Default 1000. */
  pause?: number
}

export class MemoryQueue implements WorkQueue {
  readonly #silence: number
  readonly #pause: number
  readonly #waiting: BlobId[] = []
  /** Assignments in hands, each with the timer that takes it away. */
  readonly #taken = new Map<BlobId, NodeJS.Timeout>()
  readonly #takers = new Set<() => void>()
  readonly #done: Done[] = []
  #onDone = () => {}

  constructor({ silence = 30_000, pause = 1000 }: MemoryQueueOptions = {}) {
    this.#silence = silence
    this.#pause = pause
  }

  async put(id: BlobId): Promise<void> {
    if (this.#waiting.includes(id) || this.#taken.has(id)) return
    this.#waiting.push(id)
    for (const wake of [...this.#takers]) wake()
  }

  async take(signal: AbortSignal): Promise<Taken | undefined> {
    for (;;) {
      if (signal.aborted) return undefined
      const id = this.#waiting.shift()
      if (id !== undefined) return this.#give(id)
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#takers.delete(wake)
          signal.removeEventListener('abort', wake)
          resolve()
        }
        this.#takers.add(wake)
        signal.addEventListener('abort', wake, { once: true })
      })
    }
  }

  #give(id: BlobId): Taken {
    let timer: NodeJS.Timeout
    /** Whether it is still in these hands. */
    const holds = () => this.#taken.get(id) === timer
    const letGo = () => {
      if (!holds()) return false
      clearTimeout(timer)
      return this.#taken.delete(id)
    }
    const keepFor = (milliseconds: number) => {
      clearTimeout(timer)
      timer = setTimeout(() => {
        if (letGo()) void this.put(id)
      }, milliseconds).unref()
      this.#taken.set(id, timer)
    }
    keepFor(this.#silence)
    return {
      id,
      working: async () => {
        if (holds()) keepFor(this.#silence)
      },
      done: async (result) => {
        this.#done.push(structuredClone(result))
        this.#onDone()
        letGo()
      },
      again: async () => {
        if (holds()) keepFor(this.#pause)
      },
      drop: async () => void letGo(),
    }
  }

  results(hear: (done: Done) => Promise<void>): () => Promise<void> {
    let ended = false
    let wake = () => {}
    const tell = async (): Promise<void> => {
      while (!ended) {
        const [first] = this.#done
        if (first === undefined) {
          await new Promise<void>((resolve) => (wake = resolve))
          continue
        }
        try {
          await hear(first)
          this.#done.shift()
        } catch {
          await new Promise<void>((resolve) => {
            wake = resolve
            setTimeout(resolve, this.#pause).unref()
          })
        }
      }
    }
    this.#onDone = () => wake()
    const telling = tell()
    return async () => {
      ended = true
      wake()
      await telling
    }
  }

  async close(): Promise<void> {
    for (const timer of this.#taken.values()) clearTimeout(timer)
  }
}
