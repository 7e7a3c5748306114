/** What the benches share: medians, rates, sample data. */
import { Random } from '../../data/random.js'

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

export function gigabytesPerSecond(bytes: number, seconds: number): number {
  return Number((bytes / seconds / 1e9).toPrecision(4))
}

/** An update-like vector: normal values of mixed scale. */
export function sampleUpdate(length: number): Float32Array {
  const random = new Random(1, 64)
  return Float32Array.from({ length }, (_, i) => random.normal() * 1e-3 * (1 + (i % 7)))
}
