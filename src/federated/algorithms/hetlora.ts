/**
 * HetLoRA: clients of their own ranks, padded with zeros and averaged by what they learnt, ‖ΔW_k‖. A client whose tail, its last ranks from
 * ⌊γ·r⌋ on, has shrunk in a round is pruned: it goes on with the rank max(minRank, ⌊γ·r⌋). With λ > 0 its loss has the term
 * λ Σ ‖B[:, ⌊γ·r⌋:]‖·‖A[⌊γ·r⌋:]‖ over modules, which makes tails shrink; the losses that are reported are without it.
 *
 * Source: Cho et al. 2024, "Heterogeneous LoRA for federated fine-tuning of on-device foundation models", section 4. Left out: that the server
 * chooses a client's first rank by its machine, which here the federation says (`rank` of a client).
 */
import { z } from 'zod'
import { hetlora as rule } from '../../aggregation/factors/rules/hetlora.js'
import { FedloraError } from '../../errors.js'
import { type Space, whole } from '../protocol/space.js'
import type { Algorithm, TrainPlan } from './algorithm.js'
import { trainAndSend } from './defaults.js'
import { adoptRule, byRule, factorsIn } from './factors.js'
import { combination } from './vectors.js'

type RuleOptions = z.output<typeof rule.options>
const options = (rule.options as unknown as z.ZodObject).extend({
  lambda: z.number().min(0).default(0).describe('λ: weight of the tails in a client’s loss'),
}) as unknown as z.ZodType<RuleOptions & { lambda: number }>

/** Under which name the server remembers the rank of a client. */
const rankName = (client: string) => `rank of ${client}`

const norm = (values: Float32Array) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0))

/** The gradient of Σ ‖B_tail‖·‖A_tail‖ at `values`: zero but for the tails. */
export function tailGradient(values: Float32Array, { modules, length }: Space, gamma: number): Float32Array {
  const gradient = new Float32Array(length)
  for (const module of modules) {
    const { rank, out, in: inputs } = module
    const from = Math.floor(gamma * rank)
    const { A, B } = factorsIn(values, module) as { A: Float32Array; B: Float32Array }
    const tailA = A.subarray(from * inputs)
    const tailB = B.filter((_, i) => i % rank >= from)
    const [a, b] = [norm(tailA), norm(tailB)]
    if (a === 0 || b === 0) continue
    combination([b / a], [tailA], gradient.subarray(module.A.offset + from * inputs, module.A.offset + rank * inputs))
    for (let row = 0; row < out; row++) {
      for (let r = from; r < rank; r++) gradient[module.B.offset + row * rank + r] = (a / b) * B[row * rank + r]!
    }
  }
  return gradient
}

/** λ times the gradient of the tails at `values`, as a pull: g += w − (w − λ∇). */
function pull(values: Float32Array, space: Space, gamma: number, lambda: number): { mu: number; anchor: Float32Array } {
  return { mu: 1, anchor: combination([1, -lambda], [values, tailGradient(values, space, gamma)]) }
}

export const hetlora: Algorithm<RuleOptions & { lambda: number }> = {
  ...byRule(rule),
  about: 'clients of their own ranks, padded with zeros, weighted by what they learnt, pruned where their tails shrink',
  source: 'Cho et al. 2024, Heterogeneous LoRA for federated fine-tuning of on-device foundation models',
  options,
  sends: () => [],
  // What a lossy codec left out at a rank is of no use at another.
  travels: ({ space }) => ({ [`rank ${space.modules[0]!.rank}`]: whole(space) }),
  rankOf: (state, client) => state.numbers[rankName(client)]?.[0],

  state({ space }) {
    const [first, ...others] = space.modules
    const other = others.find(({ rank }) => rank !== first!.rank)
    if (other === undefined) return {}
    const message = `algorithm hetlora prunes one rank of a client, but the adapter has rank ${first!.rank} at ${first!.module} and ${other.rank} at ${other.module}; leave rankPattern out`
    throw new FedloraError('E_CONFIG', message, { module: other.module })
  },

  async work(kit, { gamma, lambda }) {
    if (lambda === 0) return await trainAndSend(kit)
    const at = (values: Float32Array) => pull(values, kit.space, gamma, lambda)
    const terms: Partial<TrainPlan> = { proximal: at(kit.given.adapter!), afterStep: (_, values) => at(values()) }
    return await trainAndSend(kit, terms)
  },

  async finish(closing, choice) {
    const { answers, state, report } = closing
    const ranks = await adoptRule(closing, rule, choice)
    for (const [k, { client }] of answers.entries()) {
      state.numbers = { ...state.numbers, [rankName(client)]: [ranks![k]!] }
    }
    report('meanRank', ranks!.reduce((sum, rank) => sum + rank, 0) / answers.length)
  },
}
