/**
 * A server's time that passes only while nobody has anything to do: all clients ask for news, and the server has none. Deadlines come then, one after
 * the other, and no test waits for them.
 */
import type { Coordinator } from '../../../src/federated/coordinator/coordinator.js'
import type { ClientLink } from '../../../src/federated/link/link.js'

export class IdleClock {
  #time = 1_000_000
  readonly #timers = new Set<{ at: number; act: () => void }>()
  #waiting = 0
  #news = 0

  now = (): number => this.#time

  after = (milliseconds: number, act: () => void): (() => void) => {
    const timer = { at: this.#time + milliseconds, act }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** A link whose client is known to wait. */
  watch(link: ClientLink): ClientLink {
    return {
      identity: link.identity,
      describe: (signal) => link.describe(signal),
      say: (word, signal) => link.say(word, signal),
      download: (ref, path, signal) => link.download(ref, path, signal),
      upload: (ref, path, signal) => link.upload(ref, path, signal),
      close: () => link.close(),
      next: async (known, signal) => {
        this.#waiting++
        try {
          return await link.next(known, signal)
        } finally {
          this.#waiting--
          this.#news++
        }
      },
    }
  }

  /** Lets time pass until `ended`. @param clients - how many take part at a time. */
  async run<R>(server: () => Promise<Coordinator>, clients: () => number, ended: Promise<R>): Promise<R> {
    let over = false
    const end = () => {
      over = true
    }
    ended.then(end, end)
    while (!over) {
      await new Promise((resolve) => setImmediate(resolve))
      if (this.#waiting < clients() || this.#timers.size === 0) continue
      const before = this.#news
      await (await server()).resume().catch(() => {}) // what the server has begun has ended by then
      await new Promise((resolve) => setImmediate(resolve))
      if (this.#news !== before || this.#waiting < clients()) continue
      const next = [...this.#timers].reduce((a, b) => (a.at <= b.at ? a : b), {
        at: Number.POSITIVE_INFINITY,
        act: () => {},
      })
      this.#timers.delete(next)
      this.#time = Math.max(this.#time, Math.min(next.at, Number.MAX_SAFE_INTEGER))
      next.act()
    }
    return await ended
  }
}
