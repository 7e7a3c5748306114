/**
 * FedAvg, whose result is the mean of the server's models of many rounds: x̄ ← (n·x̄ + x) / (n + 1), from a round on, every so many rounds.
 * Clients go on from x; x̄ is what is evaluated and saved.
 *
 * Source: Izmailov et al. 2018, "Averaging weights leads to wider optima and better generalization" (SWA), algorithm 1; Caldarola, Caputo,
 * Ciccone 2022, "Improving generalization in federated learning by seeking flat minima" (over the rounds of a federation).
 */
import { z } from 'zod'
import type { Algorithm } from './algorithm.js'
import { stepByMeans } from './defaults.js'
import { combination } from './vectors.js'

const options = z.strictObject({
  start: z.int().min(1).optional().describe('the first round whose model counts; default: after half of the rounds'),
  every: z.int().min(1).default(1).describe('rounds between models that count'),
})

export const fedswa: Algorithm<z.output<typeof options>> = {
  name: 'fedswa',
  about: 'for rounds that jump about an optimum: the result is the mean of the server’s models of many rounds',
  source: 'Izmailov et al. 2018, Averaging weights leads to wider optima and better generalization',
  options,
  state: ({ adapter }) => ({ vectors: { average: new Float32Array(adapter.length) }, numbers: { averaged: [0] } }),
  asynchronous: true,
  postprocesses: true,
  sends: () => [],

  finish(closing, { start = Math.floor(closing.rounds / 2) + 1, every }) {
    stepByMeans(closing)
    const { vectors, numbers } = closing.state
    numbers.start ??= [start] // a federation that is given more rounds keeps its start
    const [n] = numbers.averaged as [number]
    const since = closing.round - numbers.start[0]!
    if (since < 0 || since % every !== 0) return
    combination([n / (n + 1), 1 / (n + 1)], [vectors.average!, vectors.adapter!], vectors.average)
    numbers.averaged = [n + 1]
  },

  result: ({ vectors, numbers }) => (numbers.averaged![0]! > 0 ? vectors.average! : vectors.adapter!),
}
