/**
 * Nothing of the adapter travels. All directions come from a pool of K seeds that everybody derives from the federation's; a model is
 * where the federation began and K numbers:
 *
 *   w = w₀ + Σⱼ aⱼ·zⱼ        client: seed j drawn from the pool, ê along zⱼ, w ← w − η·ê·zⱼ, Δaⱼ ← Δaⱼ − η·ê        server: a ← a + Σ pₖ·Δa⁽ᵏ⁾
 *
 * The server's model is the mean of the clients'. Up and down go K numbers in float32: 16 KiB for K = 4096, however large the adapter is. The
 * optimiser of `local` plays no part: a step is plain SGD at its learning rate, without decay, which would make the order of steps matter.
 *
 * Source: Qin et al. 2024, "Federated full-parameter tuning of billion-sized language models with communication cost under 18 kilobytes"
 * (FedKSeed), algorithm 1, over the adapter's vector.
 */
import { z } from 'zod'
import { addDirections } from '../../aggregation/normals.js'
import { deriveSeed, streamOf, uniform } from '../protocol/random.js'
import type { Algorithm } from './algorithm.js'
import { combination } from './vectors.js'

const options = z.strictObject({
  seeds: z.int().min(1).max(65536).default(4096).describe('K: directions of the pool; 4 bytes each travel'),
  epsilon: z.number().positive().default(1e-3).describe('ε: how far a step looks on either side'),
})

/** Seed of direction j of the pool. */
export const poolSeed = (seed: number, j: number) => deriveSeed(seed, 'directions', 0, j)

/** w₀ + Σ aⱼ·zⱼ over the directions that were used. */
async function rebuilt(initial: Float32Array, coefficients: Float32Array, seed: number): Promise<Float32Array> {
  const used = [...coefficients.keys()].filter((j) => coefficients[j] !== 0)
  const values = initial.slice()
  const seeds = used.map((j) => poolSeed(seed, j))
  await addDirections(
    values,
    seeds,
    used.map((j) => coefficients[j]!),
  )
  return values
}

export const fedkseed: Algorithm<z.output<typeof options>> = {
  name: 'fedkseed',
  about: 'for thin lines and little memory: forward passes alone, and messages of 16 KiB whatever the adapter',
  source:
    'Qin et al. 2024, Federated full-parameter tuning of billion-sized language models with communication cost under 18 kilobytes',
  looksAgain: true,
  options,
  serverOptimizer: false,
  travels: () => ({}),
  receives: () => [],
  state: (_, { seeds }) => ({ vectors: { coefficients: new Float32Array(seeds) } }),

  rebuild: async ({ initial, given, seed }) => await rebuilt(initial, given.coefficients!, seed),

  async work(kit, { seeds, epsilon }) {
    const from = kit.given.adapter!
    const stream = streamOf(kit.client)
    const chosen: number[] = []
    const directionOf = (step: number) => {
      const j = Math.floor(uniform(kit.seed + step, 'directions', kit.round, stream) * seeds)
      chosen.push(j)
      return poolSeed(kit.seed, j)
    }
    const trained = await kit.zeroth({ from, epsilon, directionOf })
    const coefficients = new Float32Array(seeds)
    for (const [step, j] of chosen.entries()) coefficients[j]! -= kit.learningRate * trained.projected[step]!
    return { trained, vectors: { coefficients } }
  },

  async finish({ state, mean, initial, seed }) {
    const { vectors } = state
    combination([1, 1], [vectors.coefficients!, mean('coefficients')], vectors.coefficients)
    vectors.adapter = await rebuilt(initial, vectors.coefficients!, seed)
  },
}
