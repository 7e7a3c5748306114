/** How far the reading or the tokenising of a data set is. */

export interface DataProgress {
  /** reading: rows from their files; checking: ids from the cache; tokenizing: rows to ids. */
  readonly phase: 'reading' | 'checking' | 'tokenizing'
  /** Done so far, of `total`: bytes of the files (rows of an iterable) for `reading`, bytes for `checking`, rows for `tokenizing`. */
  readonly done: number
  /** `null` where it is not known, as for a generator of rows. */
  readonly total: number | null
  /** Rows read or tokenised so far. */
  readonly rows: number
  /** Ids made so far (`tokenizing`). */
  readonly tokens: number
  /** Seconds since the phase began. */
  readonly seconds: number
  /** Seconds that the rest will take at the pace so far; `null` while there is no telling. */
  readonly remaining: number | null
}

/** Takes turns with the rest of the program: work goes on in slices, between them the event loop runs, and an abort is heard. */
export class Slices {
  readonly #signal: AbortSignal | undefined
  readonly #onProgress: ((progress: DataProgress) => void) | undefined
  readonly #phase: DataProgress['phase']
  readonly #started = performance.now()
  #slice = performance.now()
  #told = this.#started
  #any = false

  /** Milliseconds of work between two breaths of the event loop. */
  static readonly length = 20
  /** Milliseconds between two reports. */
  static readonly reports = 500

  constructor(
    phase: DataProgress['phase'],
    signal: AbortSignal | undefined,
    onProgress: ((progress: DataProgress) => void) | undefined,
  ) {
    this.#phase = phase
    this.#signal = signal
    this.#onProgress = onProgress
    signal?.throwIfAborted()
  }

  /** True when the slice is used up: time for {@link breathe}. */
  get due(): boolean {
    return performance.now() - this.#slice >= Slices.length
  }

  /** Lets the event loop run. @throws the signal's reason when it was aborted. */
  async breathe(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
    this.#signal?.throwIfAborted()
    this.#slice = performance.now()
  }

  /** Tells how far the work is, every {@link reports} ms, and at its end if it was told before: short work is not spoken of. */
  report(done: number, total: number | null, rows: number, tokens: number, last = false): void {
    const now = performance.now()
    const due = now - this.#told >= Slices.reports || (last && this.#any)
    if (this.#onProgress === undefined || !due) return
    this.#told = now
    this.#any = true
    const seconds = (now - this.#started) / 1000
    const remaining = total === null || done === 0 ? null : Math.max(0, (seconds / done) * (total - done))
    this.#onProgress({ phase: this.#phase, done, total, rows, tokens, seconds, remaining })
  }
}
