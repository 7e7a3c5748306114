/**
 * FlexLoRA: the server takes the best approximation of Σ pₖ sₖ Bₖ Aₖ that its rank allows, by a singular value decomposition that never forms
 * the matrix; a client of rank r gets its r leading components. The aggregation error is the tail of the singular values.
 *
 * Source: Bai et al. 2024, "Federated fine-tuning of large language models under heterogeneous tasks and client resources".
 */
import { flexlora as rule } from '../../aggregation/factors/rules/flexlora.js'
import type { Algorithm } from './algorithm.js'
import { byRule } from './factors.js'

export const flexlora: Algorithm = {
  ...byRule(rule),
  errorFeedback: false,
  about: 'the mean of the products, cut at the rank by its singular values; clients of any ranks',
  source:
    'Bai et al. 2024, Federated fine-tuning of large language models under heterogeneous tasks and client resources',
}
