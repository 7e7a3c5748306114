/**
 * Running mean of a server's models x_1, x_2, …: the model of round `start`, then of every `every`-th round after it, equally weighted.
 *
 * Source: Izmailov et al. 2018, "Averaging weights leads to wider optima and better generalization", algorithm 1, over rounds as in
 * Caldarola et al. 2022, "Improving generalization in federated learning by seeking flat minima".
 */
import { z } from 'zod'
import type { StreamRule } from '../rule.js'

const options = z.strictObject({
  start: z.int().min(1).default(1).describe('round of the first model, from 1'),
  every: z.int().min(1).default(1).describe('rounds from one model to the next'),
})

type Options = z.output<typeof options>

/** Whether the model of a round, from 1, joins the mean. */
const joinsAverage = (round: number, { start, every }: Options): boolean =>
  round >= start && (round - start) % every === 0

export const fedswa: StreamRule<Options> = {
  name: 'fedswa',
  about: "mean of a server's models of chosen rounds, given in order",
  source: 'Izmailov et al. 2018, "Averaging weights leads to wider optima and better generalization"',
  needs: 'stream',
  options,
  weigh: (_given, k, options) => (joinsAverage(k + 1, options) ? 1 : 0),
  lacks: (count, { start }) =>
    count < start ? `none of the ${count} models is averaged: the first is that of round ${start}` : undefined,
}
