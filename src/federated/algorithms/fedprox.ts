/**
 * Clients stay near the adapter they were given: g ← ∇f(w) + μ·(w − x). The server averages.
 *
 * Source: Li et al. 2020, "Federated optimization in heterogeneous networks", algorithm 2.
 */
import { z } from 'zod'
import type { Algorithm } from './algorithm.js'
import { trainAndSend } from './defaults.js'

const options = z.strictObject({
  mu: z.number().min(0).default(0.01).describe('μ: pull towards the adapter that was given'),
})

export const fedprox: Algorithm<z.output<typeof options>> = {
  name: 'fedprox',
  about: 'for clients that drift apart: each is held near the adapter it was given',
  source: 'Li et al. 2020, Federated optimization in heterogeneous networks',
  options,
  work: async (kit, { mu }) => await trainAndSend(kit, { proximal: { mu, anchor: kit.given.adapter! } }),
}
