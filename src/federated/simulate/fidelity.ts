/** What encoding costs, as only a simulation can know: the means of what was sent beside the means of the vectors as they were. */
import { native } from '../../native/load.js'
import type { Vectors } from '../algorithms/algorithm.js'
import { ExactCollector } from '../server/collect.js'

export class Fidelity {
  readonly #exact: ExactCollector | undefined

  /** @param lossless - nothing is lost, so there is nothing to compare. */
  constructor(lossless: boolean) {
    this.#exact = lossless ? undefined : new ExactCollector()
  }

  /** A round begins. */
  reset(): void {
    this.#exact?.begin()
  }

  /** Adds what a client sent as it was before encoding. */
  add(client: string, vectors: Readonly<Vectors>, weight: number): void {
    this.#exact?.add(client, vectors, weight)
  }

  /** Cosine between the means of what was sent and those of what was meant, all vectors as one; null when nothing was averaged. */
  cosine(sent: Readonly<Vectors>): number | null {
    const names = Object.keys(sent)
    if (names.length === 0) return null
    if (this.#exact === undefined) return 1
    if (names.length === 1) return native().cosine(sent[names[0]!]!, this.#exact.mean(names[0]!)!)
    const joined = (of: (name: string) => Float32Array) => {
      const parts = names.map(of)
      const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0))
      let at = 0
      for (const part of parts) {
        all.set(part, at)
        at += part.length
      }
      return all
    }
    const exact = this.#exact
    return native().cosine(
      joined((name) => sent[name]!),
      joined((name) => exact.mean(name)!),
    )
  }

  dispose(): void {
    this.#exact?.dispose()
  }
}
