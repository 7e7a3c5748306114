/**
 * A job under way: iterate it for its events, await it for its result, or both. It starts at once. `break` stops it and waits until
 * it has let go of everything.
 */

/** What the job sees of its run. */
export interface RunContext<E> {
  /** Delivers an event to whoever iterates. */
  emit(event: E): void
  /** Fires on the caller's AbortSignal and on `stop()`. */
  readonly signal: AbortSignal
  /** The caller's signal fired: the job must end by throwing its reason. */
  readonly aborted: boolean
}

/** Events kept for an iterator that starts late; older ones are dropped while nobody iterates. */
const backlogLimit = 4096

class EventQueue<E> implements AsyncIterator<E, undefined> {
  readonly events: E[]
  ended = false
  failure: { error: unknown } | undefined
  #waiting: (() => void) | undefined
  readonly #leave: () => Promise<void>

  constructor(backlog: E[], leave: () => Promise<void>) {
    this.events = backlog
    this.#leave = leave
  }

  wake(): void {
    this.#waiting?.()
    this.#waiting = undefined
  }

  async next(): Promise<IteratorResult<E, undefined>> {
    for (;;) {
      if (this.events.length > 0) return { value: this.events.shift()!, done: false }
      if (this.failure !== undefined) {
        const { error } = this.failure
        this.failure = undefined
        throw error
      }
      if (this.ended) return { value: undefined, done: true }
      await new Promise<void>((resolve) => {
        this.#waiting = resolve
      })
    }
  }

  async return(): Promise<IteratorResult<E, undefined>> {
    this.events.length = 0
    this.ended = true
    await this.#leave()
    return { value: undefined, done: true }
  }
}

export class Run<E, R> implements AsyncIterable<E>, Promise<R> {
  readonly [Symbol.toStringTag] = 'Run'
  readonly #promise: Promise<R>
  readonly #controller = new AbortController()
  readonly #queues = new Set<EventQueue<E>>()
  #backlog: E[] | undefined = []
  #outcome: 'running' | 'resolved' | { error: unknown } = 'running'

  /** @param work - the job; called at once. When it stops early because of `stop()`, it resolves with what it has. */
  constructor(work: (context: RunContext<E>) => Promise<R>, signal?: AbortSignal) {
    const onAbort = () => this.#controller.abort(signal!.reason)
    if (signal?.aborted === true) onAbort()
    else signal?.addEventListener('abort', onAbort, { once: true })
    const context: RunContext<E> = {
      emit: (event) => this.#emit(event),
      signal: this.#controller.signal,
      get aborted() {
        return signal?.aborted === true
      },
    }
    this.#promise = (async () => {
      try {
        const result = await work(context)
        this.#end('resolved')
        return result
      } catch (error) {
        this.#end({ error })
        throw error
      } finally {
        signal?.removeEventListener('abort', onAbort)
      }
    })()
  }

  #emit(event: E): void {
    for (const queue of this.#queues) {
      queue.events.push(event)
      queue.wake()
    }
    if (this.#backlog === undefined) return
    this.#backlog.push(event)
    if (this.#backlog.length > backlogLimit) this.#backlog.shift()
  }

  #end(outcome: 'resolved' | { error: unknown }): void {
    this.#outcome = outcome
    for (const queue of this.#queues) {
      if (outcome !== 'resolved') queue.failure = outcome
      queue.ended = true
      queue.wake()
    }
  }

  /** Asks the job to stop soon; it then resolves with what it has done. Awaits that. */
  async stop(): Promise<void> {
    this.#controller.abort()
    await this.#promise.catch(() => {})
  }

  /** Events from the beginning for the first iterator, from now on for further ones. A failure of the run is thrown after the last event. */
  [Symbol.asyncIterator](): AsyncIterator<E, undefined> {
    this.#promise.catch(() => {}) // the iterator delivers the failure
    const queue: EventQueue<E> = new EventQueue(this.#backlog ?? [], async () => {
      this.#queues.delete(queue)
      await this.stop()
    })
    this.#backlog = undefined
    if (this.#outcome === 'running') this.#queues.add(queue)
    else {
      queue.ended = true
      if (this.#outcome !== 'resolved') queue.failure = this.#outcome
    }
    return queue
  }

  // biome-ignore lint/suspicious/noThenProperty: a run is awaitable by design
  then<A = R, B = never>(
    onResolved?: ((result: R) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#promise.then(onResolved, onRejected)
  }

  catch<B = never>(onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<R | B> {
    return this.#promise.catch(onRejected)
  }

  finally(onFinally?: (() => void) | null): Promise<R> {
    return this.#promise.finally(onFinally)
  }

  /** Stops and waits: `await using run = train(…)`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}
