/** Life of a native object behind a JavaScript one: use-after-dispose is `E_DISPOSED`, a second call while at work is `E_BUSY`. */
import { FedloraError } from '../errors.js'

/** Something the addon made, that must be given back. */
export interface Disposable {
  dispose(): void
}

export class Handle<T extends Disposable> {
  readonly what: string
  readonly #native: T
  #disposed = false
  #released = false
  #users = 0
  #owner: string | undefined
  readonly #listeners = new Set<() => void>()

  /** `what` names the object in messages, such as `the adapter`. */
  constructor(what: string, native: T) {
    this.what = what
    this.#native = native
  }

  get disposed(): boolean {
    return this.#disposed
  }

  /** What holds the object exclusively, or undefined. */
  get owner(): string | undefined {
    return this.#owner
  }

  /**
   * The native object, for a call that finishes at once.
   * @throws FedloraError `E_DISPOSED`; `E_BUSY` while something else holds it exclusively.
   */
  use(doing: string): T {
    this.#check(doing)
    if (this.#owner !== undefined) {
      throw new FedloraError('E_BUSY', `${doing}: ${this.what} is in use by ${this.#owner}; wait for it to end`)
    }
    return this.#native
  }

  /** Runs an asynchronous call that may share the object with others; disposing waits for it. */
  async share<R>(doing: string, work: (native: T) => Promise<R>): Promise<R> {
    const native = this.use(doing)
    this.#users++
    try {
      return await work(native)
    } finally {
      this.#users--
      this.#release()
    }
  }

  /**
   * Takes the object for one caller alone. `onDispose` is called when somebody disposes it meanwhile.
   * @returns the native object and the function that gives it back.
   * @throws FedloraError `E_DISPOSED`, `E_BUSY`.
   */
  acquire(doing: string, onDispose?: () => void): { native: T; release: () => void } {
    const native = this.use(doing)
    if (this.#users > 0)
      throw new FedloraError('E_BUSY', `${doing}: ${this.what} is at work; wait for the earlier call to end`)
    this.#owner = doing
    if (onDispose !== undefined) this.#listeners.add(onDispose)
    let held = true
    return {
      native,
      release: () => {
        if (!held) return
        held = false
        this.#owner = undefined
        if (onDispose !== undefined) this.#listeners.delete(onDispose)
        this.#release()
      },
    }
  }

  /** Calls `listener` when the object is disposed; returns the function that stops that. */
  watch(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Idempotent. Work under way is told to stop; the native object goes when the last user has let go. */
  dispose(): void {
    if (this.#disposed) return
    this.#disposed = true
    for (const listener of this.#listeners) listener()
    this.#release()
  }

  #check(doing: string): void {
    if (this.#disposed) throw new FedloraError('E_DISPOSED', `${doing}: ${this.what} was disposed`)
  }

  #release(): void {
    if (!this.#disposed || this.#released || this.#users > 0 || this.#owner !== undefined) return
    this.#released = true
    this.#native.dispose()
  }
}
