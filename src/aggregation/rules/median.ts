/**
 * value[i] = the median of all x_k[i]: of an even number of them the mean of the middle two. Weights do not count.
 *
 * Source: Yin et al. 2018, "Byzantine-robust distributed learning: towards optimal statistical rates", definition 1.
 */
import { z } from 'zod'
import { native } from '../../native/load.js'
import type { WholeRule } from '../rule.js'
import { forEachTile } from '../tiles.js'

export const median: WholeRule = {
  name: 'median',
  about: 'the middle value of each element',
  source: 'Yin et al. 2018, "Byzantine-robust distributed learning: towards optimal statistical rates"',
  needs: 'all',
  options: z.strictObject({}),
  combine(updates, _weights, into) {
    const n = updates.ids.length
    const below = Math.floor((n - 1) / 2)
    forEachTile(updates, updates.ids, into, (tile, begin, end) => {
      native().meanBetween(tile, below, n - below, into.subarray(begin, end))
    })
    return {}
  },
}
