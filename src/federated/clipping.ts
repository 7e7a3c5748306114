/** Norms of vectors that travel together, and cutting them to one. */
import type { Vectors } from './algorithms/algorithm.js'

/** By how much a cut vector is shorter than the clip norm: more than rounding can make it longer, and enough to be told from one within. */
export const hair = 1e-6

/** 2-norm over all elements of all vectors, in double. */
export function jointNorm(vectors: Readonly<Vectors>): number {
  let sum = 0
  for (const vector of Object.values(vectors)) {
    for (let i = 0; i < vector.length; i++) sum += vector[i]! * vector[i]!
  }
  return Math.sqrt(sum)
}

/** The vectors scaled together to a norm a hair below `clip`; themselves when they are within. Those given are not changed. */
export function clipTogether(vectors: Readonly<Vectors>, clip: number, norm = jointNorm(vectors)): Vectors {
  if (norm <= clip) return vectors
  const factor = ((1 - hair) * clip) / norm
  return Object.fromEntries(Object.entries(vectors).map(([name, vector]) => [name, vector.map((x) => x * factor)]))
}
