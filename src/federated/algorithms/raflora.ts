/**
 * raFLoRA: as FlexLoRA, but each single rank is averaged over those who have it, so that clients of small ranks do not water the upper ranks
 * down. With equal ranks it is FlexLoRA; with mixed ones it does not aim at Σ pₖ sₖ Bₖ Aₖ, and `aggregationError` says so.
 *
 * Source: "raFLoRA: rank-partitioned aggregation for federated LoRA", arXiv 2602.13486v2, algorithm 1.
 */
import { raflora as rule } from '../../aggregation/factors/rules/raflora.js'
import type { Algorithm } from './algorithm.js'
import { byRule } from './factors.js'

export const raflora: Algorithm = {
  ...byRule(rule),
  errorFeedback: false,
  about: 'as flexlora, each rank averaged over those who have it: for clients of very different ranks',
  source: 'raFLoRA: rank-partitioned aggregation for federated LoRA, arXiv 2602.13486v2',
}
