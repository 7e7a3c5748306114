/**
 * Fed-SB: A and B are shared and frozen, clients train the core between them: R = Σ p_k R_k, ΔW = s_g B R A. Exact. The server's pair is
 * (A, B·R); scales of clients play no part.
 *
 * Source: Singhal et al. 2025, "Fed-SB: a silver bullet for extreme communication efficiency and performance in (private) federated LoRA
 * fine-tuning", section 3.
 */
import { FedloraError } from '../../../errors.js'
import type { MatrixValues } from '../../../native/binding.js'
import { native } from '../../../native/load.js'
import { errorAgainst, multiply } from '../algebra.js'
import { noOptions } from '../options.js'
import type { FactorRule } from '../rule.js'
import { heldFactor } from '../shared.js'

export const fedsb: FactorRule = {
  name: 'fedsb',
  options: noOptions,
  equalRanks: true,
  needs: () => 'R',
  shared: () => 'AB',
  combine(module, weights, server) {
    const { rank } = server
    const A = heldFactor(module, 'A')
    const held = heldFactor(module, 'B')
    const cored = (R: MatrixValues) => multiply(held, R, [module.out, rank, rank])
    const cores = module.clients.map(({ R }) => R ?? missing())
    const R = native().mixMatrices(
      rank,
      rank,
      cores.map((values, k) => ({ values, rows: rank, cols: rank, scale: weights[k]! })),
    )
    const factors = { A, B: cored(R), rank }
    const ideal = cores.map((core, k) => ({ A, B: cored(core), rank, scale: weights[k]! * server.scaling }))
    return { ...factors, R, error: errorAgainst(ideal, module, server, factors) }
  },
}

function missing(): never {
  throw new FedloraError('E_MISSING', 'fedsb: a client came without its core R')
}
