/** Numbers used once: what was signed counts a single time within the window in which its date is accepted. Bounded in memory. */

/** Two generations of what was seen: a nonce is remembered for one lifetime at least and for two at most. */
export class Nonces {
  #young = new Set<string>()
  #old = new Set<string>()
  #turn = Number.NEGATIVE_INFINITY

  /**
   * @param lifetime - seconds for which a nonce must be known: twice the window, because a date may lie ahead.
   * @param most - nonces of a generation; beyond, everything new is refused until the generation ends, because forgetting would let replays in.
   */
  constructor(
    readonly lifetime: number,
    readonly most: number,
  ) {}

  /** Remembers a nonce: 'new', 'seen' before, or 'full'. `now` in seconds. */
  use(nonce: string, now: number): 'new' | 'seen' | 'full' {
    if (now - this.#turn >= this.lifetime) {
      this.#old = now - this.#turn >= 2 * this.lifetime ? new Set() : this.#young
      this.#young = new Set()
      this.#turn = now
    }
    if (this.#young.has(nonce) || this.#old.has(nonce)) return 'seen'
    if (this.#young.size >= this.most) return 'full'
    this.#young.add(nonce)
    return 'new'
  }

  get size(): number {
    return this.#young.size + this.#old.size
  }
}
