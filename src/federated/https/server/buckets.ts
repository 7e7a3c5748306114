/** Token buckets: `perSecond` in the long run, `burst` at once. Bounded in memory: who has all its tokens needs no entry. */

interface Rate {
  perSecond: number
  burst: number
}

export class TokenBuckets {
  readonly #levels = new Map<string, { tokens: number; at: number }>()

  /** @param most - entries kept; beyond, the one that was used longest ago is forgotten. */
  constructor(
    readonly rate: Rate,
    readonly most = 65_536,
  ) {}

  #level(key: string, now: number): number {
    const entry = this.#levels.get(key)
    if (entry === undefined) return this.rate.burst
    return Math.min(this.rate.burst, entry.tokens + Math.max(0, now - entry.at) * this.rate.perSecond)
  }

  /** Takes a token: 0, or the seconds after which there is one. `now` in seconds. */
  take(key: string, now: number): number {
    const level = this.#level(key, now)
    if (level < 1) return (1 - level) / this.rate.perSecond
    this.#keep(key, level - 1, now)
    return 0
  }

  /** Seconds until there is a token; none is taken. */
  wait(key: string, now: number): number {
    return Math.max(0, (1 - this.#level(key, now)) / this.rate.perSecond)
  }

  #keep(key: string, tokens: number, now: number): void {
    this.#levels.delete(key) // the Map is in order of last use
    this.#levels.set(key, { tokens, at: now })
    for (const [oldest, entry] of this.#levels) {
      const full = entry.tokens + (now - entry.at) * this.rate.perSecond >= this.rate.burst
      if (!full && this.#levels.size <= this.most) break
      this.#levels.delete(oldest)
    }
  }

  get size(): number {
    return this.#levels.size
  }
}
