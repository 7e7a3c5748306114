/**
 * FedAvg whose clients train by forward passes alone, with the memory of inference: each step looks along one random direction z,
 *
 *   ê = (f(w + ε·z) − f(w − ε·z)) / 2ε        w ← w − η·ê·z
 *
 * over the adapter's vector. The optimiser of `local` plays no part: a step is plain SGD at its learning rate. Updates travel whole.
 *
 * Source: Ling et al. 2024, "On the convergence of zeroth-order federated tuning for large language models" (FedMeZO), algorithm 1; Malladi
 * et al. 2023, "Fine-tuning language models with just forward passes" (MeZO).
 */
import { z } from 'zod'
import { deriveSeed, streamOf } from '../protocol/random.js'
import type { Algorithm } from './algorithm.js'
import { updatesOf } from './defaults.js'

const options = z.strictObject({
  epsilon: z.number().positive().default(1e-3).describe('ε: how far a step looks on either side'),
})

export const fedmezo: Algorithm<z.output<typeof options>> = {
  name: 'fedmezo',
  about: 'for clients without memory for gradients: forward passes alone, of two losses a step',
  source: 'Ling et al. 2024, On the convergence of zeroth-order federated tuning for large language models',
  looksAgain: true,
  options,

  async work(kit, { epsilon }) {
    const from = kit.given.adapter!
    const stream = streamOf(kit.client)
    const directionOf = (step: number) => deriveSeed(kit.seed + step, 'directions', kit.round, stream)
    const trained = await kit.zeroth({ from, epsilon, directionOf })
    return { trained, vectors: updatesOf(kit.travels, from, trained.values) }
  },
}
