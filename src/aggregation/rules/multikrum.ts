/**
 * value = Σ w_k·x_k / Σ w_k over the m updates of least score (`krum`)
 *
 * Source: Blanchard et al. 2017, "Machine learning with adversaries: Byzantine tolerant gradient descent", section 5 (m ≤ n − f − 2).
 */
import { z } from 'zod'
import type { WholeRule } from '../rule.js'
import { squaredDistances, weightedSum } from '../tiles.js'
import { byScore, checkScore, faulty, krumScores, lacksForKrum } from './krum.js'

const options = z.strictObject({
  f: faulty,
  m: z.int().min(1).optional().describe('updates that are averaged; default n − f − 2'),
})

export const multikrum: WholeRule<z.output<typeof options>> = {
  name: 'multikrum',
  about: 'the weighted mean of the m updates that lie closest to their neighbours',
  source: 'Blanchard et al. 2017, "Machine learning with adversaries: Byzantine tolerant gradient descent"',
  needs: 'all',
  options,
  lacks(count, { f, m }) {
    const most = count - f - 2
    if (m !== undefined && m > most)
      return `m = ${m} of ${count} updates with f = ${f} is too many: expected at most n − f − 2 = ${most}`
    return lacksForKrum(count, f)
  },
  combine(updates, weights, into, { f, m }) {
    const { ids } = updates
    const scores = krumScores(squaredDistances(updates, into), ids.length, [...ids.keys()], f)
    const selected = byScore(scores).slice(0, m ?? ids.length - f - 2)
    for (const k of selected) checkScore(scores[k]!, ids[k]!)
    const coefficients = weights.map((weight, k) => (selected.includes(k) ? weight : 0))
    const total = coefficients.reduce((sum, weight) => sum + weight, 0)
    weightedSum(updates, coefficients, total, into)
    return { selected }
  },
}
