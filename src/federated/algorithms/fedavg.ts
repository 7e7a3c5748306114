/**
 * x ← x + Σ pₖ (yₖ − x), yₖ: the adapter of client k after its own steps, pₖ: its share of the rows.
 *
 * On LoRA's factors this is FedIT: A and B are averaged separately, and B̄·Ā is not the mean of the products (`aggregationError`).
 *
 * Source: McMahan et al. 2017, "Communication-efficient learning of deep networks from decentralized data", algorithm 1; Zhang et al. 2024,
 * "Towards building the federated GPT: federated instruction tuning" (FedIT).
 */
import type { Algorithm } from './algorithm.js'

export const fedavg: Algorithm = {
  name: 'fedavg',
  about: 'the mean of the clients’ updates; with a server optimiser FedAvgM, FedAdam, FedYogi, FedAdagrad',
  source: 'McMahan et al. 2017, Communication-efficient learning of deep networks from decentralized data',
}
