/**
 * What a rule over the updates of a round is. Its type says whether it streams: `stream` rules are weighted means, which take each update
 * as it comes and keep one sum; `all` rules compare updates with one another and read them by tiles, with memory n·tile, never n·length.
 */
import type { z } from 'zod'
import type { UpdateSet } from './update-set.js'
import type { Vector } from './vectors.js'

interface Described<Options> {
  readonly name: string
  /** What it is for, in one sentence. */
  readonly about: string
  /** Where it comes from: authors, year, title. */
  readonly source: string
  /** Its options, each with its default. */
  readonly options: z.ZodType<Options>
}

/** value = factor · Σ u_k·x_k / Σ u_k, u_k the weight of update k by the rule, exact (`Aggregator`). */
export interface StreamRule<Options = object> extends Described<Options> {
  readonly needs: 'stream'
  /**
   * u_k: the weight by which update `k` joins the sum, at least 0; with 0 it does not.
   * @param given - the weight that its sender has, such as its rows.
   */
  weigh(given: number, k: number, options: Options): number
  /** Default 1. @param given - the weights of all updates. */
  factor?(given: readonly number[], options: Options): number
  /** What a call with these updates lacks, in words; undefined: nothing. */
  lacks?(count: number, options: Options): string | undefined
}

/** A rule that must see all updates. */
export interface WholeRule<Options = object> extends Described<Options> {
  readonly needs: 'all'
  /**
   * Writes its value into `into`, which has the length of the updates.
   * @returns the places of the updates that it selected, when it selects.
   */
  combine<V extends Vector>(updates: UpdateSet<V>, weights: readonly number[], into: V, options: Options): Combined
  lacks?(count: number, options: Options): string | undefined
}

/** What a rule tells beside its value. */
export interface Combined {
  selected?: number[]
}

export type VectorRule<Options = object> = StreamRule<Options> | WholeRule<Options>
