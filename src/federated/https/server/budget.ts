/** An amount that is shared by what goes on at the same time. */

export class Budget {
  #used = 0

  constructor(readonly total: number) {}

  /** Takes an amount, and gives what returns it; undefined when there is not enough. An amount beyond the total fits when nothing else is taken. */
  take(amount: number): (() => void) | undefined {
    if (this.#used > 0 && this.#used + amount > this.total) return undefined
    this.#used += amount
    let taken = true
    return () => {
      if (taken) this.#used -= amount
      taken = false
    }
  }

  get used(): number {
    return this.#used
  }
}

/** A budget for each key, of as many units. */
export class Shares {
  readonly #used = new Map<string, number>()

  constructor(readonly each: number) {}

  take(key: string): (() => void) | undefined {
    const used = this.#used.get(key) ?? 0
    if (used >= this.each) return undefined
    this.#used.set(key, used + 1)
    let taken = true
    return () => {
      if (!taken) return
      taken = false
      const left = this.#used.get(key)! - 1
      if (left === 0) this.#used.delete(key)
      else this.#used.set(key, left)
    }
  }
}
