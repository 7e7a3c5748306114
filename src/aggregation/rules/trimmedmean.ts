/**
 * value[i] = the mean of all x_k[i] but the f least and the f largest. Weights do not count. Needs n > 2f.
 *
 * Source: Yin et al. 2018, "Byzantine-robust distributed learning: towards optimal statistical rates", definition 2 (β = f / n).
 */
import { z } from 'zod'
import { native } from '../../native/load.js'
import type { WholeRule } from '../rule.js'
import { forEachTile } from '../tiles.js'
import { faulty } from './krum.js'

export const trimmedmean: WholeRule<{ f: number }> = {
  name: 'trimmedmean',
  about: 'the mean of each element without its f least and f largest values',
  source: 'Yin et al. 2018, "Byzantine-robust distributed learning: towards optimal statistical rates"',
  needs: 'all',
  options: z.strictObject({ f: faulty }),
  lacks: (count, { f }) =>
    count <= 2 * f ? `${count} updates are too few for f = ${f}: expected more than 2f = ${2 * f}` : undefined,
  combine(updates, _weights, into, { f }) {
    forEachTile(updates, updates.ids, into, (tile, begin, end) => {
      native().meanBetween(tile, f, tile.length - f, into.subarray(begin, end))
    })
    return {}
  },
}
