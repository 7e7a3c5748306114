/**
 * Clients share the body of the adapter and keep heads of their own, which never leave them. A round trains the head on the given body, then
 * the body under the head:
 *
 *   τ times hₖ ← hₖ − η·∂fₖ/∂h(b, hₖ),   then τ times bₖ ← bₖ − η·∂fₖ/∂b(bₖ, hₖ)      b ← Σ pₖ bₖ
 *
 * Source: Collins et al. 2021, "Exploiting shared representations for personalized federated learning", algorithm 1; `together`: Arivazhagan
 * et al. 2019, "Federated learning with personalization layers" (FedPer).
 */
import { z } from 'zod'
import type { Algorithm } from './algorithm.js'
import { together as asOne, updatesOf } from './defaults.js'
import { assembled, keptOf, partBy } from './local-parameters.js'

const options = z.strictObject({
  local: z
    .array(z.string().min(1))
    .min(1)
    .default(['lora_B'])
    .describe("what stays with a client: 'lora_A', 'lora_B', names of modules or parts of them, with * ('layers.23')"),
  headSteps: z.int().min(1).optional().describe('optimiser steps on what stays; default: those of local work'),
  together: z.boolean().default(false).describe('one training of both instead of one after the other'),
})

export const fedrep: Algorithm<z.output<typeof options>> = {
  name: 'fedrep',
  about: 'parts of the adapter, by name, stay with each client; the rest is shared',
  source: 'Collins et al. 2021, Exploiting shared representations for personalized federated learning',
  looksAgain: true,
  options,
  keeps: ['local'],
  travels: ({ space }, { local }) => ({ body: partBy(space, local).shared }),
  receives: ({ space }, { local }) => partBy(space, local).shared,
  async work(kit, { local, headSteps, together }) {
    const parted = partBy(kit.space, local)
    const before = assembled(kit, parted)
    if (together) {
      const trained = await kit.train({ from: before })
      return { trained, vectors: updatesOf(kit.travels, before, trained.values), keep: keptOf(trained.values, parted) }
    }
    const head = await kit.train({
      from: before,
      trainable: parted.local,
      steps: headSteps ?? kit.steps,
      label: 'head',
    })
    const body = await kit.train({ from: head.values, trainable: parted.shared })
    return {
      trained: asOne([head, body], body.values),
      vectors: updatesOf(kit.travels, before, body.values),
      keep: keptOf(body.values, parted),
    }
  },
  personal: (kit, { local }) => assembled(kit, partBy(kit.space, local)),
}
