/**
 * Beside the shared adapter, which is FedAvg's to the bit, each client trains one of its own that is held near the shared one:
 *
 *   vₖ ← vₖ − η·(∇fₖ(vₖ) + λ·(vₖ − x))   x: the adapter that the client was given; vₖ begins where the federation began
 *
 * λ = 0 trains alone, a great λ serves the shared one. A round costs two trainings.
 *
 * Source: Li et al. 2021, "Ditto: fair and robust federated learning through personalization", algorithm 1.
 */
import { z } from 'zod'
import type { Algorithm } from './algorithm.js'
import { trainAndSend } from './defaults.js'

const options = z.strictObject({
  lambda: z.number().min(0).default(0.1).describe("λ: pull of a client's own adapter towards the shared one"),
  steps: z.int().min(1).optional().describe('optimiser steps on the own adapter; default: those of local work'),
})

export const ditto: Algorithm<z.output<typeof options>> = {
  name: 'ditto',
  about: 'an adapter for each client beside the shared one, held near it',
  source: 'Li et al. 2021, Ditto: fair and robust federated learning through personalization',
  looksAgain: true,
  options,
  keeps: ['personal'],
  async work(kit, { lambda, steps }) {
    const sent = await trainAndSend(kit)
    const { values } = await kit.train({
      from: kit.own.personal ?? kit.initial,
      proximal: { mu: lambda, anchor: kit.given.adapter! },
      steps: steps ?? kit.steps,
      label: 'personal',
    })
    return { ...sent, keep: { personal: values } }
  },
  personal: ({ own, given }) => own.personal ?? given.adapter!,
}
