/** What comes of an iterator, for somebody who now and then stops waiting: nothing that comes meanwhile is lost. */
import { FedloraError } from '../../errors.js'

export class Patient<T> {
  readonly #iterator: AsyncIterator<T>
  /** Asked of the iterator, and not given to anybody yet. */
  #asked: Promise<IteratorResult<T>> | undefined

  constructor(iterable: AsyncIterable<T>) {
    this.#iterator = iterable[Symbol.asyncIterator]()
  }

  /** The next value; undefined when `signal` comes first. @throws FedloraError `E_UNREACHABLE` at the end. */
  async next(signal: AbortSignal): Promise<T | undefined> {
    if (signal.aborted) return undefined
    this.#asked ??= this.#iterator.next()
    let onAbort = () => {}
    const stopped = new Promise<undefined>((resolve) => {
      onAbort = () => resolve(undefined)
      signal.addEventListener('abort', onAbort, { once: true })
    })
    const result = await Promise.race([this.#asked, stopped])
    signal.removeEventListener('abort', onAbort)
    if (result === undefined) return undefined
    this.#asked = undefined
    if (result.done) throw new FedloraError('E_UNREACHABLE', 'the connection to NATS has ended')
    return result.value
  }

  async close(): Promise<void> {
    await this.#iterator.return?.()
  }
}
