/**
 * θ = n − 2f updates are selected: θ times the winner of `krum` among those left. Then, element by element,
 *
 *   value[i] = the mean of the β = θ − 2f selected x_k[i] nearest to their median; of two as near, the one selected first.
 *
 * Weights do not count. Needs n ≥ 4f + 3.
 *
 * Source: El Mhamdi et al. 2018, "The hidden vulnerability of distributed learning in Byzantium", section 4.
 */
import { z } from 'zod'
import { native } from '../../native/load.js'
import type { WholeRule } from '../rule.js'
import { forEachTile, squaredDistances } from '../tiles.js'
import { byScore, checkScore, faulty, krumScores } from './krum.js'

export const bulyan: WholeRule<{ f: number }> = {
  name: 'bulyan',
  about: 'the winners of krum, one after the other, and of each element the mean of their values nearest to the median',
  source: 'El Mhamdi et al. 2018, "The hidden vulnerability of distributed learning in Byzantium"',
  needs: 'all',
  options: z.strictObject({ f: faulty }),
  lacks: (count, { f }) =>
    count < 4 * f + 3
      ? `${count} updates are too few for f = ${f}: expected at least 4f + 3 = ${4 * f + 3}`
      : undefined,
  combine(updates, _weights, into, { f }) {
    const { ids } = updates
    const distances = squaredDistances(updates, into)
    const left = [...ids.keys()]
    const selected: number[] = []
    while (selected.length < ids.length - 2 * f) {
      const scores = krumScores(distances, ids.length, left, f)
      const best = byScore(scores)[0]!
      checkScore(scores[best]!, ids[left[best]!]!)
      selected.push(...left.splice(best, 1))
    }
    const chosen = selected.map((k) => ids[k]!)
    const keep = ids.length - 4 * f
    forEachTile(updates, chosen, into, (tile, begin, end) => {
      native().meanNearMedian(tile, keep, into.subarray(begin, end))
    })
    return { selected }
  },
}
