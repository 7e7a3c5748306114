/** Vectors of which every client sends a part: each part is the mean over those who sent it, and zero where nobody did. */
import type { Vectors } from '../algorithms/algorithm.js'
import { rangeOf, type Segment } from '../protocol/segments.js'
import { type Collector, ExactCollector, type PartialSum } from './collect.js'

/** What clients send in a round. */
export interface Segmentation {
  segments: number
  /** Of a client in a round. */
  segmentOf(client: string, round: number): Segment
  /** Of a vector whole, by name; undefined: it travels whole. */
  lengthOf(name: string): number | undefined
}

const partName = (name: string, index: number) => JSON.stringify([name, index])

export class SegmentCollector implements Collector {
  readonly #sums = new ExactCollector()
  readonly #by: Segmentation

  constructor(by: Segmentation) {
    this.#by = by
  }

  begin(): void {
    this.#sums.begin()
  }

  add(client: string, vectors: Readonly<Vectors>, weight: number, round: number): void {
    const parts = Object.entries(vectors).map(([name, values]) => [this.sumOf(client, name, round), values] as const)
    this.#sums.add(client, Object.fromEntries(parts), weight)
  }

  sumOf(client: string, name: string, round: number): string {
    if (this.#by.lengthOf(name) === undefined) return name
    return partName(name, this.#by.segmentOf(client, round).index)
  }

  merge(sums: ReadonlyMap<string, PartialSum>): void {
    this.#sums.merge(sums)
  }

  mean(name: string): Float32Array | null {
    const { segments } = this.#by
    const length = this.#by.lengthOf(name)
    if (length === undefined) return this.#sums.mean(name)
    const whole = new Float32Array(length)
    let any = false
    for (let index = 0; index < segments; index++) {
      const part = this.#sums.mean(partName(name, index))
      if (part === null) continue
      any = true
      whole.set(part, rangeOf(length, { index, of: segments })[0])
    }
    return any ? whole : null
  }

  dispose(): void {
    this.#sums.dispose()
  }
}
