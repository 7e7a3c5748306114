/**
 * The noised sum of clipped answers over a fixed denominator: m = qN clients on average, each with one vector x_k of 2-norm at most C,
 *
 *   x̄ = (Σ_k x_k + z_Δ C · N(0, 1)) / m
 *
 * whoever answers, and when nobody does: a step without noise would tell that. Every answer counts the same, whatever its weight.
 * With an adaptive norm the count of those within C is released as well, each counting ±1/2 and with noise σ_b; the noise on the sum is then
 * z_Δ = (z⁻² − (2σ_b)⁻²)^(−1/2), so that both together spend what one sum with z does.
 *
 * Source: McMahan, Ramage, Talwar and Zhang 2018, "Learning differentially private recurrent language models"; Andrew, Thakkar, McMahan and
 * Ramaswamy 2021, "Differentially private learning with adaptive clipping".
 */
import { native } from '../../native/load.js'
import { adaptiveClip } from '../../privacy/adaptive-clip.js'
import type { Numbers, Vectors } from '../algorithms/algorithm.js'
import { clipTogether, hair, jointNorm } from '../clipping.js'
import { type Collector, ExactCollector } from './collect.js'

/** How answers are summed and noised. */
export interface PrivateSum {
  /** C of the first round. */
  clip: number
  /** z: noise of a round, in sensitivities. */
  noiseMultiplier: number
  /** m. */
  expectedClients: number
  adaptive?: { quantile: number; learningRate: number; countNoise: number } | undefined
  /** 32 bytes for one use, of a round and a name. */
  keyOf(round: number, name: string): Uint8Array
}

export class PrivateCollector implements Collector {
  /** A round without an answer makes a step like another. */
  readonly always = true
  readonly #sums = new ExactCollector()
  readonly #by: PrivateSum
  readonly #lengthOf: (name: string) => number | undefined
  /** z_Δ. */
  readonly #noise: number
  readonly #means = new Map<string, Float32Array>()
  #clip: number
  /** From the round after this on. */
  #nextClip: number
  #round = 0
  #answers = 0
  #within = 0
  #settled = true

  constructor(by: PrivateSum, kept: Numbers, lengthOf: (name: string) => number | undefined) {
    this.#by = by
    this.#lengthOf = lengthOf
    this.#clip = kept.clip?.[0] ?? by.clip
    this.#nextClip = this.#clip
    const { noiseMultiplier: z, adaptive } = by
    this.#noise = adaptive === undefined || z === 0 ? z : (z ** -2 - (2 * adaptive.countNoise) ** -2) ** -0.5
  }

  /** C of the round under way, or of the next. */
  get clip(): number {
    return this.#clip
  }

  get kept(): Numbers {
    return { clip: [this.#nextClip] }
  }

  begin(round: number): void {
    this.#sums.begin()
    this.#means.clear()
    this.#clip = this.#nextClip
    this.#round = round
    this.#answers = 0
    this.#within = 0
    this.#settled = false
  }

  add(client: string, vectors: Readonly<Vectors>, _weight: number): void {
    const norm = jointNorm(vectors)
    this.#sums.add(client, clipTogether(vectors, this.#clip, norm), 1)
    this.#answers++
    if (norm < this.#clip * (1 - 2 * hair)) this.#within++
  }

  /** The next round's norm, once. */
  #settle(): void {
    if (this.#settled) return
    this.#settled = true
    const { adaptive, expectedClients, noiseMultiplier } = this.#by
    if (adaptive === undefined) return
    const { quantile, learningRate, countNoise } = adaptive
    const count = Float32Array.of(this.#within - this.#answers / 2)
    if (noiseMultiplier > 0) native().addNoise(count, this.#by.keyOf(this.#round, 'count'), countNoise)
    this.#nextClip = adaptiveClip({ clip: this.#clip, quantile, learningRate }).update(
      count[0]! / expectedClients + 0.5,
    )
  }

  mean(name: string): Float32Array | null {
    this.#settle()
    const known = this.#means.get(name)
    if (known !== undefined) return known
    const length = this.#lengthOf(name)
    if (length === undefined) return null
    const { expectedClients } = this.#by
    const sum = this.#sums.mean(name)
    const mean = new Float32Array(length)
    if (sum !== null) for (let i = 0; i < length; i++) mean[i] = (sum[i]! * this.#answers) / expectedClients
    const deviation = (this.#noise * this.#clip) / expectedClients
    if (deviation > 0) native().addNoise(mean, this.#by.keyOf(this.#round, `vector ${name}`), deviation)
    this.#means.set(name, mean)
    return mean
  }

  dispose(): void {
    this.#sums.dispose()
  }
}
