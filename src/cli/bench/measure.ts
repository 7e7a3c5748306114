/** What the benches share: medians, rates, the roof of reading beside the work, sample data. */

import type { Compute } from '../../native/binding.js'
import { native } from '../../native/load.js'
import { Random } from '../../random/random.js'

/** One line of a bench's table; the same keys in every line. */
export type Measurement = Record<string, string | number>

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!
}

/** The median of `repeat` timings of `work`, in seconds; one more runs first and is not counted. */
export async function medianSeconds(repeat: number, work: () => unknown): Promise<number> {
  await work()
  const seconds: number[] = []
  for (let i = 0; i < repeat; i++) {
    const start = performance.now()
    await work()
    seconds.push((performance.now() - start) / 1000)
  }
  return median(seconds)
}

/** The machine's arithmetic peak, flop/s, on one thread and on all. */
export interface Roof {
  roofOne: number
  roof: number
}

export function measureRoofs(compute: Compute, threads: number, seconds: number): Roof {
  const roofOne = native().measureRoof(compute, 1, seconds)
  return { roofOne, roof: threads === 1 ? roofOne : native().measureRoof(compute, threads, seconds) }
}

/**
 * Samples that were taken while the machine gave every thread a core of its own: where two cores are one for some seconds, or another
 * process runs, the peak of two threads falls below 1.9 times that of one. All samples when there is no such one.
 */
export function soundSamples<T extends Roof>(samples: readonly T[], threads: number): readonly T[] {
  const sound = samples.filter(({ roofOne, roof }) => roof >= 0.95 * threads * roofOne)
  return sound.length > 0 ? sound : samples
}

export function gigabytesPerSecond(bytes: number, seconds: number): number {
  return Number((bytes / seconds / 1e9).toPrecision(4))
}

/** Works in turn with a measurement of the machine's reading of memory, which drifts: medians of both, and of their ratio. */
export class BesideReading {
  readonly #threads: number
  readonly #rates: number[] = []
  readonly #roofs: number[] = []

  constructor(threads: number) {
    this.#threads = threads
  }

  /** Measures the roof, then times `work`, which moves `bytes`. */
  sample(bytes: number, work: () => unknown): void {
    this.#roofs.push(native().measureReadBandwidth(this.#threads, 0.03))
    const start = performance.now()
    work()
    this.#rates.push((1000 * bytes) / (performance.now() - start))
  }

  /** Bytes a second of the work. */
  get rate(): number {
    return median(this.#rates)
  }

  /** Bytes a second that the machine reads. */
  get roof(): number {
    return median(this.#roofs)
  }

  /** Share of the roof that the work reached. */
  get share(): number {
    return median(this.#rates.map((rate, i) => rate / this.#roofs[i]!))
  }
}

/** Times `work` beside the roof so many times; once more before, not counted. */
export function besideReading(threads: number, repeat: number, bytes: number, work: () => unknown): BesideReading {
  work()
  const samples = new BesideReading(threads)
  for (let i = 0; i < repeat; i++) samples.sample(bytes, work)
  return samples
}

/** A rate in GB/s, a share in per cent: four and three places. */
export const inGigabytes = (rate: number): number => Number((rate / 1e9).toPrecision(4))
export const inPercent = (share: number): number => Number((100 * share).toPrecision(3))

/** An update-like vector: normal values, their scale another in each stretch of 4,096. Drawn from a table, which is quick. */
export function sampleUpdate(length: number, seed = 1): Float32Array {
  const random = new Random(1, 64)
  const table = Float32Array.from({ length: 1 << 14 }, () => 1e-3 * random.normal())
  let state = (seed * 0x9e3779b9) >>> 0 || 1
  return Float32Array.from({ length }, (_, i) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return table[(state >>> 9) & 16383]! * (1 + ((i >> 12) % 7)) * (1 + (state & 511) * 1e-6)
  })
}
