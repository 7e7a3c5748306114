/** Clients that wait for something to be said to them. Waking one costs nothing to the others. */
export class Waiters {
  readonly #waiting = new Map<string, Set<() => void>>()

  /** Resolves when the client is woken, or when `signal` says that nobody waits any longer. */
  async wait(client: string, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    const all = this.#waiting.get(client) ?? new Set()
    this.#waiting.set(client, all)
    await new Promise<void>((resolve) => {
      const done = () => {
        signal.removeEventListener('abort', done)
        all.delete(done)
        if (all.size === 0 && this.#waiting.get(client) === all) this.#waiting.delete(client)
        resolve()
      }
      all.add(done)
      signal.addEventListener('abort', done, { once: true })
    })
  }

  /** @param clients - default: all. */
  wake(clients: Iterable<string> = [...this.#waiting.keys()]): void {
    for (const client of clients) for (const done of [...(this.#waiting.get(client) ?? [])]) done()
  }
}
