/**
 * Clients that take more steps do not count for more: their changes are divided by how far a constant gradient would have carried them,
 *
 *   x ← x + τ · Σ pₖ·(yₖ − x) / aₖ      τ = Σ pₖ·aₖ, with μ > 0: τ = Σ pₖ·Kₖ
 *
 * aₖ is the sum of the weights that client k's optimiser gives to its Kₖ gradients: Kₖ for plain SGD and for AdamW, whose steps have one
 * size; with momentum ρ and the proximal term μ of FedProx what m ← ρ·m + 1 − η·μ·a, a ← a + m come to.
 *
 * Source: Wang et al. 2020, "Tackling the objective inconsistency problem in heterogeneous federated optimization", equations 6 and 7.
 */
import { z } from 'zod'
import type { Algorithm, Answered } from './algorithm.js'
import { trainAndSend } from './defaults.js'
import { combination } from './vectors.js'

const options = z.strictObject({
  mu: z.number().min(0).default(0).describe('μ: pull towards the adapter that was given, as in fedprox'),
})

/** Σ of the weights of `steps` gradients. */
export function reach(steps: number, momentum: number, pull: number): number {
  let [moment, sum] = [0, 0]
  for (let step = 0; step < steps; step++) {
    moment = momentum * moment + 1 - pull * sum
    sum += moment
  }
  return sum
}

/** aₖ and Kₖ of an answer. */
const pathOf = ({ numbers }: Pick<Answered, 'numbers'>) => numbers.path as readonly [number, number]

export const fednova: Algorithm<z.output<typeof options>> = {
  name: 'fednova',
  about: 'for clients that take different numbers of steps: none counts for more because it trains for longer',
  source: 'Wang et al. 2020, Tackling the objective inconsistency problem in heterogeneous federated optimization',
  options,

  async work(kit, { mu }) {
    const sent = await trainAndSend(kit, { proximal: { mu, anchor: kit.given.adapter! } })
    const steps = sent.trained.updates
    const { optimizer, momentum } = kit.local
    const sum = optimizer === 'sgd' ? reach(steps, momentum, kit.learningRate * mu) : steps
    return { ...sent, numbers: { path: [sum, steps] } }
  },

  emphasis: (answer) => 1 / pathOf(answer)[0],

  finish(closing, { mu }) {
    const { answers } = closing
    const total = (of: (answer: Answered) => number) =>
      answers.reduce((sum, answer) => sum + answer.weight * of(answer), 0)
    const all = total(() => 1)
    const path = total((answer) => pathOf(answer)[mu > 0 ? 1 : 0]) / all
    const emphasis = total((answer) => 1 / pathOf(answer)[0]) / all
    closing.step(combination([path * emphasis], [closing.mean('adapter')]))
  },
}
