/**
 * value = x_k of the least score      score_i = Σ of the n − f − 2 least ‖x_i − x_j‖², j ≠ i
 *
 * Of equal scores the lower place wins. Weights do not count. Holds against f updates of anybody's making from n ≥ 2f + 3 on.
 *
 * Source: Blanchard et al. 2017, "Machine learning with adversaries: Byzantine tolerant gradient descent", section 4.
 */
import { z } from 'zod'
import { FedloraError } from '../../errors.js'
import type { WholeRule } from '../rule.js'
import { squaredDistances } from '../tiles.js'

/** f: updates that may be anything. */
export const faulty = z.int().min(0).describe('updates that may be of anybody’s making')

/**
 * Scores of the updates in `places`, in their order, among themselves alone.
 * @param distances - ‖xᵢ − xⱼ‖² of all n updates, [n, n].
 */
export function krumScores(distances: Float64Array, n: number, places: readonly number[], f: number): number[] {
  const nearest = Math.max(1, places.length - f - 2)
  return places.map((i) => {
    const others = Float64Array.from(
      places.filter((j) => j !== i),
      (j) => distances[i * n + j]!,
    ).sort()
    return others.subarray(0, nearest).reduce((sum, distance) => sum + distance, 0)
  })
}

/** @throws FedloraError `E_NONFINITE` when what is best has no score. */
export function checkScore(score: number, id: string): void {
  if (Number.isFinite(score)) return
  throw new FedloraError('E_NONFINITE', `update ${id}: its squared distances to others overflow a double`, {
    update: id,
  })
}

/** Places by score, the best first. */
export function byScore(scores: readonly number[]): number[] {
  return [...scores.keys()].sort((a, b) => (scores[a]! === scores[b]! ? a - b : scores[a]! < scores[b]! ? -1 : 1))
}

export const lacksForKrum = (count: number, f: number) =>
  count < 2 * f + 3 ? `${count} updates are too few for f = ${f}: expected at least 2f + 3 = ${2 * f + 3}` : undefined

export const krum: WholeRule<{ f: number }> = {
  name: 'krum',
  about: 'the one update that lies closest to its neighbours',
  source: 'Blanchard et al. 2017, "Machine learning with adversaries: Byzantine tolerant gradient descent"',
  needs: 'all',
  options: z.strictObject({ f: faulty }),
  lacks: (count, { f }) => lacksForKrum(count, f),
  combine(updates, _weights, into, { f }) {
    const { ids } = updates
    const scores = krumScores(squaredDistances(updates, into), ids.length, [...ids.keys()], f)
    const best = byScore(scores)[0]!
    checkScore(scores[best]!, ids[best]!)
    updates.read(ids[best]!, 0, into.length, into)
    return { selected: [best] }
  },
}
