/** How much do clients that differ cost, and which algorithm pays least? */
import type { Dataset } from '../../data/dataset.js'
import { type SplitOptions, split } from '../../data/index.js'
import type { ClientData } from '../../federated/simulate/clients.js'
import type { Setting, Study } from './study.js'

/** Clients of a split, each with test rows of its own mixture. */
function clientsOf(rows: Dataset, options: SplitOptions): ClientData[] {
  const parts = split(rows, { testFraction: 0.1, label: 'kind', minRows: 20, ...options })
  return parts.clients.map(({ name }, index) => ({ name, train: parts.train(index), test: parts.test(index) }))
}

const settings: readonly Setting[] = [
  {
    name: 'Dirichlet 0.3',
    clients: (rows, seed) => clientsOf(rows, { by: 'dirichlet', alpha: 0.3, clients: 3, seed }),
  },
  { name: 'one kind each', clients: (rows, seed) => clientsOf(rows, { by: 'category', seed }) },
]

export const heterogeneity: Study = {
  name: 'heterogeneity',
  title: 'Clients that differ: algorithms with the same budget',
  question:
    'Three clients hold GSM8K answers, mixed unevenly (Dirichlet 0.3 over the kinds of arithmetic), or one kind each. Who loses least?',
  rank: 8,
  settings,
  arms: [
    { name: 'FedIT', algorithm: 'fedavg' },
    { name: 'FFA', algorithm: 'ffa' },
    { name: 'RoLoRA', algorithm: 'rolora' },
    { name: 'FedEx', algorithm: 'fedex' },
    { name: 'FLoRA', algorithm: 'flora' },
    { name: 'FlexLoRA', algorithm: 'flexlora' },
    { name: 'FedSA', algorithm: 'fedsa' },
    { name: 'SCAFFOLD', algorithm: 'scaffold' },
    { name: 'FedProx', algorithm: { name: 'fedprox', mu: 0.01 } },
    { name: 'Ditto', algorithm: 'ditto' },
  ],
  full: { seeds: 3, rounds: 5, steps: 6, batchSize: 8, rowsEach: 160, heldOut: 48 },
  quick: {
    seeds: 1,
    rounds: 3,
    steps: 4,
    batchSize: 8,
    rowsEach: 100,
    heldOut: 32,
    settings: ['one kind each'],
    arms: ['FedIT', 'FFA', 'FedEx', 'Ditto'],
  },
}
