/** What the benches share: medians, rates, sample data. */
import { Random } from '../../data/random.js'
import type { Compute } from '../../native/binding.js'
import { native } from '../../native/load.js'

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

/** An update-like vector: normal values of mixed scale. */
export function sampleUpdate(length: number): Float32Array {
  const random = new Random(1, 64)
  return Float32Array.from({ length }, (_, i) => random.normal() * 1e-3 * (1 + (i % 7)))
}
