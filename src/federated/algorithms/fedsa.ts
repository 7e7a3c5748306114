/**
 * The factors A are shared, the factors B stay with their clients, who train both: ΔWₖ = s·Bₖ·Ā. A learns what clients have in common, B what
 * is theirs; half of the adapter travels.
 *
 * Source: Guo et al. 2024, "Selective aggregation for low-rank adaptation in federated learning" (FedSA-LoRA).
 */
import { partOf } from '../protocol/space.js'
import type { Algorithm } from './algorithm.js'
import { updatesOf } from './defaults.js'
import { assembled, keptOf } from './local-parameters.js'

const partsOf = (space: Parameters<typeof partOf>[0]) => ({
  local: partOf(space, 'lora_B'),
  shared: partOf(space, 'lora_A'),
})

export const fedsa: Algorithm = {
  name: 'fedsa',
  about: 'A is shared, B stays with each client: half the traffic, and adapters of their own at no cost',
  source: 'Guo et al. 2024, Selective aggregation for low-rank adaptation in federated learning',
  keeps: ['local'],
  travels: ({ space }) => ({ lora_A: partsOf(space).shared }),
  receives: ({ space }) => partsOf(space).shared,
  async work(kit) {
    const parts = partsOf(kit.space)
    const before = assembled(kit, parts)
    const trained = await kit.train({ from: before })
    return { trained, vectors: updatesOf(kit.travels, before, trained.values), keep: keptOf(trained.values, parts) }
  },
  personal: (kit) => assembled(kit, partsOf(kit.space)),
}
