/**
 * FLoRA: the clients' adapters are stacked, of rank Σ rₖ, and join the frozen residual beside the adapter, up to `maxResidualRank`; every round
 * begins with a new adapter: lora_A drawn anew, lora_B zero. Exact until then. The residual travels down with the adapter.
 *
 * Source: Wang et al. 2024, "FLoRA: federated fine-tuning large language models with heterogeneous low-rank adaptations", equations 4 and 5
 * (there each client merges the stack into its base, which here stays quantised).
 */
import { flora as rule } from '../../aggregation/factors/rules/flora.js'
import { freshAdapter } from '../protocol/fresh-adapter.js'
import type { Algorithm } from './algorithm.js'
import { byRule, combineModules } from './factors.js'
import { ResidualGrowth, trainBesideResidual } from './residual.js'

export const flora: Algorithm = {
  ...byRule(rule),
  errorFeedback: false,
  about:
    'the adapters stacked into a frozen residual, a new adapter every round: exact, ranks of any size, the downlink grows',
  source:
    'Wang et al. 2024, FLoRA: federated fine-tuning large language models with heterogeneous low-rank adaptations',
  work: (kit) => trainBesideResidual(kit),
  async finish(closing) {
    const residual = new ResidualGrowth(closing)
    await combineModules(closing, rule, {}, ({ A, B, rank }, { scaling }, index) => {
      residual.add(index, { A, B, rank }, scaling)
    })
    residual.keep()
    const { space, seed, round, state } = closing
    state.vectors.adapter = freshAdapter(space, seed, round)
  },
}
