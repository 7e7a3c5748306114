/** Clients that wait for news in an open request: one request each, as many as the server bears, none for longer than its carrier likes. */

export class Waiting {
  readonly #polls = new Map<string, AbortController>()

  /** @param most - requests that wait at a time; @param seconds - that one waits at most. */
  constructor(
    readonly most: number,
    readonly seconds: number,
  ) {}

  /**
   * Runs `ask` with a signal that ends its waiting: after `seconds`, or what one waits at most, less a random fifth, so that clients do not come back together; at once when
   * `gone`, when the same client asks again, or when there is no place.
   */
  async wait<T>(
    client: string,
    seconds: number,
    gone: AbortSignal,
    ask: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    this.#polls.get(client)?.abort()
    const poll = new AbortController()
    const end = () => poll.abort()
    const full = this.#polls.size >= this.most
    const timer = setTimeout(end, full ? 0 : Math.min(seconds, this.seconds) * 1000 * (1 - Math.random() / 5))
    this.#polls.set(client, poll)
    gone.addEventListener('abort', end, { once: true })
    try {
      return await ask(poll.signal)
    } finally {
      clearTimeout(timer)
      gone.removeEventListener('abort', end)
      if (this.#polls.get(client) === poll) this.#polls.delete(client)
    }
  }

  /** Seconds after which a client that got no news should ask again. */
  get pause(): number {
    return this.#polls.size < this.most ? 0 : Math.ceil(this.seconds * (1 + Math.random()))
  }

  /** Nobody waits any more. */
  end(): void {
    for (const poll of this.#polls.values()) poll.abort()
  }

  get size(): number {
    return this.#polls.size
  }
}
