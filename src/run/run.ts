/**
 * A job under way. It starts at once and belongs to its promise; who reads its events comes and goes.
 *
 * - `await run`: the result.
 * - `for await (const event of run)`: the events from the first on, then the run's failure if it fails. Leaving the loop by `break`,
 *   `return` or `throw` stops the run and waits until it has let go of everything, unless somebody else holds it: another such loop that
 *   is still running, or anybody who awaits the run (`await`, `then`, `finally`).
 * - `run.events()`: the same events for onlookers. Leaving never stops the run, and its failure is not thrown at them.
 * - `run.stop()`: asks it to end soon, and waits.
 */
import { type Cursor, RunEvents } from './run-events.js'

/** What the job sees of its run. */
export interface RunContext<E> {
  /** Delivers an event to whoever reads. `end`: bytes of the log up to the end of its line, when it is logged. */
  emit(event: E, end?: number): void
  /** Events are also lines of this log from byte `start` on: what memory no longer holds is read from there. */
  logTo(path: string, start: number): void
  /** Fires on the caller's AbortSignal and on `stop()`. */
  readonly signal: AbortSignal
  /** The caller's signal fired: the job must end by throwing its reason. */
  readonly aborted: boolean
}

/** An iterator over a cursor; calls of `next` that overlap are answered in order. */
class EventIterator<E> implements AsyncIterableIterator<E, undefined> {
  readonly #cursor: Cursor<E>
  readonly #atEnd: () => void
  readonly #leave: () => Promise<void>
  #turn: Promise<unknown> = Promise.resolve()
  #over = false

  /** @param atEnd - called after the last event; may throw. @param leave - called when the reader leaves before that. */
  constructor(cursor: Cursor<E>, atEnd: () => void, leave: () => Promise<void>) {
    this.#cursor = cursor
    this.#atEnd = atEnd
    this.#leave = leave
  }

  next(): Promise<IteratorResult<E, undefined>> {
    const result = this.#turn.then(async (): Promise<IteratorResult<E, undefined>> => {
      const taken = await this.#cursor.take()
      if (taken !== undefined) return { value: taken.event, done: false }
      if (!this.#over) {
        this.#over = true
        this.#atEnd()
      }
      return { value: undefined, done: true }
    })
    this.#turn = result.catch(() => {})
    return result
  }

  async return(): Promise<IteratorResult<E, undefined>> {
    this.#cursor.close()
    if (!this.#over) {
      this.#over = true
      await this.#leave()
    }
    return { value: undefined, done: true }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }
}

export interface EventsOptions {
  /** Begin with the run's first event (default), or with the next one. */
  replay?: boolean
}

export class Run<E, R> implements AsyncIterable<E>, Promise<R> {
  readonly [Symbol.toStringTag] = 'Run'
  readonly #promise: Promise<R>
  readonly #controller = new AbortController()
  readonly #events = new RunEvents<E>()
  #loops = 0
  #awaited = false
  #failure: { error: unknown } | undefined

  /** @param work - the job; called at once. When it stops early because of `stop()`, it resolves with what it has. */
  constructor(work: (context: RunContext<E>) => Promise<R>, signal?: AbortSignal) {
    const onAbort = () => this.#controller.abort(signal!.reason)
    if (signal?.aborted === true) onAbort()
    else signal?.addEventListener('abort', onAbort, { once: true })
    const context: RunContext<E> = {
      emit: (event, end) => this.#events.add(event, end),
      logTo: (path, start) => this.#events.logTo(path, start),
      signal: this.#controller.signal,
      get aborted() {
        return signal?.aborted === true
      },
    }
    this.#promise = (async () => {
      try {
        return await work(context)
      } catch (error) {
        this.#failure = { error }
        throw error
      } finally {
        this.#events.end()
        signal?.removeEventListener('abort', onAbort)
      }
    })()
  }

  /** Asks the job to stop soon; it then resolves with what it has done. Awaits that. */
  async stop(): Promise<void> {
    this.#controller.abort()
    await this.#promise.catch(() => {})
  }

  /**
   * The events from the first on. A failure of the run is thrown after the last event. Leaving the loop stops the run, unless another loop
   * over it is running or somebody awaits it.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<E, undefined> {
    this.#promise.catch(() => {}) // the loop delivers the failure
    this.#loops++
    return new EventIterator(
      this.#events.cursor(true),
      () => {
        this.#loops--
        if (this.#failure !== undefined) throw this.#failure.error
      },
      async () => {
        this.#loops--
        if (this.#loops === 0 && !this.#awaited) await this.stop()
      },
    )
  }

  /**
   * The events for an onlooker, such as a client of a web server: from the first on, or from now on with `replay: false`. Any number may
   * come and go, at any time, also after the end; none of them stops the run or gets its failure thrown: that is told by an event `error`.
   * What memory no longer holds is read from the run folder's log; without a folder an event `gap` says how many are missing.
   */
  events(options: EventsOptions = {}): AsyncIterableIterator<E, undefined> {
    return new EventIterator(
      this.#events.cursor(options.replay ?? true),
      () => {},
      async () => {},
    )
  }

  // biome-ignore lint/suspicious/noThenProperty: a run is awaitable by design
  then<A = R, B = never>(
    onResolved?: ((result: R) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#awaited = true
    return this.#promise.then(onResolved, onRejected)
  }

  /** Handles the run's failure. Does not count as awaiting it. */
  catch<B = never>(onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<R | B> {
    return this.#promise.catch(onRejected)
  }

  finally(onFinally?: (() => void) | null): Promise<R> {
    this.#awaited = true
    return this.#promise.finally(onFinally)
  }

  /** Stops and waits: `await using run = train(…)`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}
