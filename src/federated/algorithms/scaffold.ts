/**
 * Control variates take out of a client's steps what its own rows would add to them: g ← ∇fₖ(w) − cₖ + c. After its K steps of rate η from
 * x to y,
 *
 *   I:   cₖ⁺ = ∇fₖ(x)                        II:   cₖ⁺ = cₖ − c + (x − y) / (K·η)
 *
 * and the server steps by the plain mean of y − x, and c ← c + |S|/N · mean(cₖ⁺ − cₖ): c stays the mean of all cₖ. They begin at zero.
 *
 * Source: Karimireddy et al. 2020, "SCAFFOLD: stochastic controlled averaging for federated learning", algorithm 1, options I and II. II
 * divides steps by η: gradients again with SGD, but about ±1 a value with AdamW, however small the gradients are.
 */
import { z } from 'zod'
import type { Algorithm } from './algorithm.js'
import { stepByMeans } from './defaults.js'
import { combination, difference } from './vectors.js'

const options = z.strictObject({
  option: z
    .literal([1, 2])
    .optional()
    .describe(
      "a client's new control: 1 its gradient over all rows (one more pass), 2 the mean gradient of its steps; default: 1 with AdamW, 2 with SGD",
    ),
})

/** The option that stands where none is given: steps over the rate are gradients with SGD only. */
const usual = ({ optimizer }: { optimizer: 'adamw' | 'sgd' }) => (optimizer === 'sgd' ? 2 : 1)

export const scaffold: Algorithm<z.output<typeof options>> = {
  name: 'scaffold',
  about: 'for clients with different rows that take part often: control variates undo their drift',
  source: 'Karimireddy et al. 2020, SCAFFOLD: stochastic controlled averaging for federated learning',
  options,
  weighting: 'uniform',
  robust: false,
  looksAgain: ({ option }, local) => (option ?? usual(local)) === 1,
  keeps: ['control'],
  state: ({ adapter }) => ({ vectors: { control: new Float32Array(adapter.length) } }),

  async work(kit, { option = usual(kit.local) }) {
    const { adapter: x, control: c } = kit.given as { adapter: Float32Array; control: Float32Array }
    const own = kit.own.control ?? new Float32Array(x.length)
    const trained = await kit.train({ from: x, correction: difference(c, own) })
    const { values: y, updates } = trained
    const path = Math.max(1, updates) * kit.learningRate
    const control = option === 1 ? await kit.gradient(x) : combination([1, -1, 1 / path, -1 / path], [own, c, x, y])
    return { trained, vectors: { adapter: difference(y, x), control: difference(control, own) }, keep: { control } }
  },

  finish(closing) {
    stepByMeans(closing)
    const { control } = closing.state.vectors
    combination([1, closing.answers.length / closing.population], [control!, closing.mean('control')], control)
  },
}
