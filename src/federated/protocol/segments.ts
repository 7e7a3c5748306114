/**
 * Segments by turn: a vector that travels up is cut into n parts of consecutive elements, and a client sends one of them a round, the next
 * one in the next. Clients begin at different parts, so that every round brings all of them from some.
 *
 * Source: Liu et al. 2025, "EcoLoRA: communication-efficient federated fine-tuning of large language models" (round-robin segment sharing).
 */
import type { Range } from './space.js'

/** A part of n, from 0. */
export interface Segment {
  readonly index: number
  readonly of: number
}

/** @param place - of the client's name among all names in ascending order, from 0. */
export const segmentOf = (place: number, round: number, of: number): Segment => ({ index: (place + round) % of, of })

/** Its elements of a vector of `length`; parts differ by at most one element. */
export const rangeOf = (length: number, { index, of }: Segment): Range => [
  Math.floor((length * index) / of),
  Math.floor((length * (index + 1)) / of),
]
