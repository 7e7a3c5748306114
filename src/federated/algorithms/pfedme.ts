/**
 * Each client's own adapter θ is a few steps of SGD on the Moreau envelope of its loss about its local copy w of the shared one, and w
 * follows θ; R times in a round, from w = θ = x:
 *
 *   K times θ ← θ − η·(∇fₖ(θ) + λ·(θ − w)),   then w ← w − λ·ηw·(w − θ)      x ← (1 − β)·x + β·Σ pₖ wₖ
 *
 * R is the number of local steps, so that a round takes K times as many; θ goes on from one to the next. Every step draws rows of its own,
 * where the paper's K steps share theirs.
 *
 * Source: T. Dinh et al. 2020, "Personalized federated learning with Moreau envelopes", algorithm 1.
 */
import { z } from 'zod'
import type { Algorithm } from './algorithm.js'
import { combination, difference } from './vectors.js'

const options = z.strictObject({
  lambda: z.number().positive().default(15).describe('λ: how near the own adapter stays to the shared one'),
  innerSteps: z.int().min(1).default(5).describe('K: optimiser steps on the own adapter for one of the shared copy'),
  sharedLearningRate: z
    .number()
    .positive()
    .default(0.005)
    .describe('ηw: step of the shared copy; λ·ηw = 1 moves it onto θ'),
  beta: z.number().positive().default(1).describe('β: how far the server goes towards the mean'),
})

export const pfedme: Algorithm<z.output<typeof options>> = {
  name: 'pfedme',
  about: 'own adapters by Moreau envelopes: the shared one is where they are best reached from',
  source: 'T. Dinh et al. 2020, Personalized federated learning with Moreau envelopes',
  looksAgain: true,
  options,
  asynchronous: true,
  keeps: ['personal'],
  async work(kit, { lambda, innerSteps, sharedLearningRate }) {
    const given = kit.given.adapter!
    const rate = lambda * sharedLearningRate
    let shared = given
    const trained = await kit.train({
      from: given,
      proximal: { mu: lambda, anchor: shared },
      steps: innerSteps * kit.steps,
      afterStep(step, values) {
        if (step % innerSteps !== 0) return undefined
        shared = combination([1 - rate, rate], [shared, values()])
        return { mu: lambda, anchor: shared }
      },
    })
    return { trained, vectors: { adapter: difference(shared, given) }, keep: { personal: trained.values } }
  },
  finish(closing, { beta }) {
    closing.step(combination([beta], [closing.mean('adapter')]))
  },
  personal: ({ own, given }) => own.personal ?? given.adapter!,
}
