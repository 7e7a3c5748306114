/**
 * Every client's loss gets a term that makes the federation's optimum its own: y = argmin fₖ(y) − hₖ·y + α/2·‖y − x‖², by local steps, so
 * g ← ∇fₖ(w) + α·(w − x) − hₖ. Then
 *
 *   hₖ ← hₖ − α·(y − x)      h ← h − α/N · Σ (yₖ − x)      x ← mean of yₖ − h/α
 *
 * over the clients that answered; N: all clients. hₖ and h begin at zero.
 *
 * Source: Acar et al. 2021, "Federated learning based on dynamic regularization", algorithm 1.
 */
import { z } from 'zod'
import type { Algorithm } from './algorithm.js'
import { trainAndSend } from './defaults.js'
import { combination } from './vectors.js'

const options = z.strictObject({
  alpha: z.number().positive().default(0.01).describe('α: pull towards the adapter that was given'),
})

export const feddyn: Algorithm<z.output<typeof options>> = {
  name: 'feddyn',
  about: 'for clients with different rows: each loss is bent until their optimum is everybody’s',
  source: 'Acar et al. 2021, Federated learning based on dynamic regularization',
  options,
  weighting: 'uniform',
  serverOptimizer: false,
  keeps: ['h'],
  state: ({ adapter }) => ({ vectors: { h: new Float32Array(adapter.length) } }),
  sends: () => [],

  async work(kit, { alpha }) {
    const x = kit.given.adapter!
    const h = kit.own.h ?? new Float32Array(x.length)
    const sent = await trainAndSend(kit, { proximal: { mu: alpha, anchor: x }, correction: combination([-1], [h]) })
    return { ...sent, keep: { h: combination([1, -alpha, alpha], [h, sent.trained.values, x]) } }
  },

  finish({ state, answers, population, mean }, { alpha }) {
    const { adapter, h } = state.vectors as { adapter: Float32Array; h: Float32Array }
    const update = mean('adapter')
    combination([1, (-alpha * answers.length) / population], [h, update], h)
    combination([1, 1, -1 / alpha], [adapter, update, h], adapter)
  },
}
