/** Seconds of the machine by phase. */
export class Stopwatch<Phase extends string> {
  readonly seconds: Record<Phase, number>
  readonly #started = performance.now()

  constructor(phases: readonly Phase[]) {
    this.seconds = Object.fromEntries(phases.map((phase) => [phase, 0])) as Record<Phase, number>
  }

  /** Runs `work` and counts its time to `phase`. */
  async time<R>(phase: Phase, work: () => R | Promise<R>): Promise<R> {
    const started = performance.now()
    const result = await work()
    this.add(phase, (performance.now() - started) / 1000)
    return result
  }

  /** Counts seconds that were measured elsewhere. */
  add(phase: Phase, seconds: number): void {
    this.seconds[phase] += seconds
  }

  /** Seconds since it was made. */
  get total(): number {
    return (performance.now() - this.#started) / 1000
  }
}
