/**
 * HetLoRA: clients weigh by what they learnt, S_k = ‖s_k B_k A_k‖ over all modules, w_k = S_k/Σ S_j, and are padded to the server's rank
 * (scales in B). A client whose tail fell, Σ_modules ‖B[:, g:]‖·‖A[g:]‖ with g = ⌊γ r_k⌋ below that of what the server had sent, is
 * pruned first: r_k ← max(r_min, g). Clients that are all zero weigh by the round's weights.
 *
 * Source: Cho et al. 2024, "Heterogeneous LoRA for federated fine-tuning of on-device foundation models", section 4 and figure 2.
 */
import { z } from 'zod'
import { blockNorm, factorError, foldedShares, leadingRanks, meanA, meanB, productNorm } from '../algebra.js'
import type { FactorRule, Factors, ModuleUpdates } from '../rule.js'

const options = z.strictObject({
  gamma: z
    .number()
    .positive()
    .max(1)
    .default(0.99)
    .describe('γ: share of a rank that pruning leaves; 1 prunes nothing'),
  minRank: z.int().min(1).default(1).describe('r_min: least rank that pruning leaves'),
})
type Options = z.output<typeof options>

/** Of one client, sums over modules. */
interface Seen {
  rank: number
  /** Rank if it is pruned. */
  cut: number
  /** Tail norms of what was sent and of what came. */
  before: number
  after: number
  /** Squares of ‖s_k B_k A_k‖ at `rank` and at `cut`. */
  whole2: number
  cut2: number
}

const keptRank = ({ rank, cut, before, after }: Seen) => (after < before ? cut : rank)

/** ‖B[:, from:to]‖·‖A[from:to]‖ */
function tail({ A, B, rank }: Factors, module: ModuleUpdates, from: number, to: number): number {
  const columns = blockNorm(B, [module.out, rank], [0, module.out], [from, to])
  return columns * blockNorm(A, [rank, module.in], [from, to], [0, module.in])
}

function see(module: ModuleUpdates, client: number, { gamma, minRank }: Options): Seen {
  const { rank, scaling, ...factors } = module.clients[client]!
  const from = Math.floor(gamma * rank)
  const cut = Math.min(rank, Math.max(minRank, from))
  const size2 = (r: number) =>
    productNorm(module, [{ ...leadingRanks({ ...factors, rank }, r, module), scale: scaling }]) ** 2
  const whole2 = size2(rank)
  const { sent } = module
  return {
    rank,
    cut,
    before: sent === undefined ? 0 : tail(sent, module, from, rank),
    after: tail({ ...factors, rank }, module, from, rank),
    whole2,
    cut2: cut === rank ? whole2 : size2(cut),
  }
}

export const hetlora: FactorRule<Options, Seen[]> = {
  name: 'hetlora',
  options,
  needs: ({ gamma }) => (gamma < 1 ? 'sent' : undefined),
  survey: (before, module, options) =>
    module.clients.map((_, k) => {
      const seen = see(module, k, options)
      const sum = before?.[k]
      if (sum === undefined) return seen
      const add = (key: 'before' | 'after' | 'whole2' | 'cut2') => sum[key] + seen[key]
      return { ...seen, before: add('before'), after: add('after'), whole2: add('whole2'), cut2: add('cut2') }
    }),
  combine(module, weights, server, _, survey) {
    const ranks = survey.map(keptRank)
    const sizes = survey.map(({ rank, whole2, cut2 }, k) => Math.sqrt(ranks[k] === rank ? whole2 : cut2))
    const total = sizes.reduce((sum, size) => sum + size, 0)
    const shares = total > 0 ? sizes.map((size) => size / total) : weights
    const clients = module.clients.map((client, k) => ({ ...client, ...leadingRanks(client, ranks[k]!, module) }))
    const pruned = { ...module, clients }
    const A = meanA(pruned, server.rank, shares)
    const factors = { A, B: meanB(pruned, server.rank, foldedShares(clients, shares, server)), rank: server.rank }
    return { ...factors, ranks, error: factorError(module, weights, server, factors) }
  },
}
