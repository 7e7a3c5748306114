/** What becomes of clients that can afford different ranks? */
import { split } from '../../data/index.js'
import type { Study } from './study.js'

const clientRanks = [2, 4, 8, 16]

export const ranks: Study = {
  name: 'ranks',
  title: 'Clients of ranks 2, 4, 8 and 16',
  question:
    'Four clients with equal mixtures of GSM8K answers train adapters of ranks 2, 4, 8 and 16. Which rule loses least of what they learnt?',
  rank: 16,
  settings: [
    {
      name: 'ranks 2, 4, 8, 16',
      clients(rows, seed) {
        const parts = split(rows, { by: 'iid', clients: clientRanks.length, testFraction: 0.1, label: 'kind', seed })
        return parts.clients.map(({ name }, index) => ({
          name,
          train: parts.train(index),
          test: parts.test(index),
          rank: clientRanks[index]!,
        }))
      },
    },
  ],
  arms: [
    { name: 'zero padding', algorithm: { name: 'fedavg', padding: 'zero' } },
    { name: 'HetLoRA', algorithm: 'hetlora' },
    { name: 'FlexLoRA', algorithm: 'flexlora' },
    { name: 'FLoRA', algorithm: 'flora' },
    { name: 'raFLoRA', algorithm: 'raflora' },
  ],
  full: { seeds: 3, rounds: 6, steps: 8, batchSize: 8, rowsEach: 200, heldOut: 48 },
  quick: {
    seeds: 1,
    rounds: 3,
    steps: 4,
    batchSize: 8,
    rowsEach: 100,
    heldOut: 32,
    settings: ['ranks 2, 4, 8, 16'],
    arms: ['zero padding', 'HetLoRA', 'FlexLoRA', 'FLoRA', 'raFLoRA'],
  },
}
