/**
 * value = τ_eff · Σ p_k·x_k / a_k      p_k = w_k / Σ w_j
 *
 * x_k is a client's update of τ_k local steps; a_k = ‖a_k‖₁ is what its optimiser makes of τ_k equal gradients: τ_k for SGD (the default),
 * (τ_k − ρ(1−ρ^τ_k)/(1−ρ)) / (1−ρ) for momentum ρ, (1−(1−ημ)^τ_k)/(ημ) for a proximal term μ. τ_eff = Σ p_k·τ_k, or Σ p_k·a_k without steps.
 *
 * Source: Wang et al. 2020, "Tackling the objective inconsistency problem in heterogeneous federated optimization", equations 8 to 10.
 */
import { z } from 'zod'
import type { StreamRule } from '../rule.js'

const positives = z.array(z.number().positive()).min(1).optional()

const options = z
  .strictObject({
    steps: positives.describe('τ_k: local steps of each client'),
    a: positives.describe("‖a_k‖₁ of each client's optimiser; default: its steps"),
  })
  .refine(({ steps, a }) => steps !== undefined || a !== undefined, 'expected steps, a, or both')

type Options = z.output<typeof options>

const normalizer = ({ steps, a }: Options) => (a ?? steps)!

export const fednova: StreamRule<Options> = {
  name: 'fednova',
  about: 'normalised averaging: clients that took more steps do not pull more',
  source: 'Wang et al. 2020, "Tackling the objective inconsistency problem in heterogeneous federated optimization"',
  needs: 'stream',
  options,
  weigh: (given, k, options) => given / normalizer(options)[k]!,
  factor(given, options) {
    const effective = options.steps ?? options.a!
    const total = (of: (weight: number, k: number) => number) => given.reduce((sum, w, k) => sum + of(w, k), 0)
    const normalized = total((weight, k) => weight / normalizer(options)[k]!)
    return (total((weight, k) => weight * effective[k]!) / total((weight) => weight)) * (normalized / total((w) => w))
  },
  lacks(count, { steps, a }) {
    for (const [name, list] of Object.entries({ steps, a })) {
      if (list !== undefined && list.length !== count)
        return `${name} has ${list.length} entries, expected one an update`
    }
    return undefined
  },
}
