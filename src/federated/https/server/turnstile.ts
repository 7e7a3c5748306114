/** Lets in some at a time, in the order in which they came. Nobody holds a place for long: after a while it is the next one's, whoever still uses it. */

export class Turnstile {
  #inside = 0
  /** Those who wait, in order; each is called with its place. */
  readonly #queue = new Set<() => void>()

  /** @param places - that there are; @param milliseconds - for which one is held at most. */
  constructor(
    readonly places: number,
    readonly milliseconds: number,
  ) {}

  /** Waits for a place, or until `gone`. @returns what gives the place back. */
  async enter(gone: AbortSignal): Promise<() => void> {
    if (this.#inside < this.places) this.#inside++
    else if (!(await this.#turn(gone))) return () => {}
    let held = true
    const leave = () => {
      if (held) this.#free()
      held = false
      clearTimeout(timer)
    }
    const timer = setTimeout(leave, this.milliseconds).unref()
    return leave
  }

  /** Whether a place came before `gone`. */
  #turn(gone: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (place: boolean) => () => {
        this.#queue.delete(go)
        gone.removeEventListener('abort', leave)
        resolve(place)
      }
      const [go, leave] = [settle(true), settle(false)]
      if (gone.aborted) return resolve(false)
      this.#queue.add(go)
      gone.addEventListener('abort', leave, { once: true })
    })
  }

  /** A place goes to the first who waits. */
  #free(): void {
    const [first] = this.#queue
    if (first === undefined) this.#inside--
    else first()
  }

  get waiting(): number {
    return this.#queue.size
  }
}
