/** Waiting that can be given up: nothing that comes meanwhile is lost. */
import { FedloraError } from '../../errors.js'

/**
 * What a promise gives, unless `signal` comes first. @param late - told of what it gives after that.
 * @throws the signal's reason.
 */
export async function unlessAborted<T>(promise: Promise<T>, signal?: AbortSignal, late = (_: T) => {}): Promise<T> {
  if (signal === undefined) return await promise
  let onAbort = () => {}
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
  })
  try {
    return await Promise.race([promise, aborted])
  } catch (error) {
    if (signal.aborted) promise.then(late, () => {})
    throw error
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** What comes of an iterator, for somebody who now and then stops waiting. */
export class Patient<T> {
  readonly #iterable: AsyncIterable<T> & { stop(): void }
  readonly #iterator: AsyncIterator<T>
  /** Asked of the iterator, and not given to anybody yet. */
  #asked: Promise<IteratorResult<T>> | undefined

  constructor(iterable: AsyncIterable<T> & { stop(): void }) {
    this.#iterable = iterable
    this.#iterator = iterable[Symbol.asyncIterator]()
  }

  /** The next value; undefined when `signal` comes first. @throws FedloraError `E_UNREACHABLE` at the end. */
  async next(signal: AbortSignal): Promise<T | undefined> {
    if (signal.aborted) return undefined
    this.#asked ??= this.#iterator.next()
    const result = await unlessAborted(this.#asked, signal).catch((error: unknown) => {
      if (!signal.aborted) throw error
    })
    if (result === undefined) return undefined
    this.#asked = undefined
    if (result.done) throw new FedloraError('E_UNREACHABLE', 'the connection to NATS has ended')
    return result.value
  }

  /** Ends the iterator, also one that is asked. */
  close(): void {
    this.#iterable.stop()
  }
}
