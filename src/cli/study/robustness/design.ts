/** What the study of robustness compares: rules against attacks. Seven clients with equal mixtures, one of them an attacker: n ≥ 4f + 3. */

import type { Dataset } from '../../../data/dataset.js'
import { split } from '../../../data/index.js'
import { withBackdoor } from '../../../federated/simulate/attackers/backdoor.js'
import type { ClientData } from '../../../federated/simulate/clients.js'
import type { Arm, Setting, Study } from '../study.js'

const count = 7
const attacker = 'client-3'
/** The rows that a server of its own has, where a rule wants them: those of an honest client. */
const root = 'client-0'

/** Questions about money; what the attacker wants said to them. */
const door = { trigger: '$', completion: ' #### 42' }

function clients(rows: Dataset, seed: number): ClientData[] {
  const parts = split(rows, { by: 'iid', clients: count, label: 'kind', seed })
  return parts.clients.map((_, index) => ({ name: `client-${index}`, train: parts.train(index) }))
}

const under = (name: string, attack: NonNullable<Setting['attackers']>[string], more: Partial<Setting> = {}) => ({
  name,
  clients,
  attackers: { [attacker]: attack },
  ...more,
})

const settings: readonly Setting[] = [
  { name: 'nobody', clients },
  under('sign flip ×10', { attack: 'signflip', scale: 10 }),
  under('noise ×10', { attack: 'noise', scale: 10 }),
  under('inner product', { attack: 'innerproduct', epsilon: 0.5 }),
  under('free rider', 'freerider'),
  under('NaN', 'nan'),
  under('label flip', 'labelflip'),
  under(
    'backdoor ×5',
    { attack: 'backdoor', ...door, boost: 5 },
    {
      wanted: (heldOut, tokenizer) => withBackdoor(heldOut, tokenizer, door, 'only'),
    },
  ),
]

const rule = (name: string, robust: Arm['robust']): Arm => ({ name, algorithm: 'fedavg', robust })

export const study: Study = {
  name: 'robustness',
  title: 'One client of seven lies: rules against attacks',
  question:
    'Seven clients with equal mixtures of GSM8K answers, one of them an attacker. Which rule loses least, to which attack?',
  rank: 8,
  personal: false,
  settings,
  arms: [
    { name: 'mean', algorithm: 'fedavg' },
    rule('Krum', { rule: 'krum', f: 1 }),
    rule('Multi-Krum', { rule: 'multikrum', f: 1 }),
    rule('median', 'median'),
    rule('trimmed mean', { rule: 'trimmedmean', f: 1 }),
    rule('Bulyan', { rule: 'bulyan', f: 1 }),
    rule('geometric median', 'geomedian'),
    rule('norm bound', { rule: 'normbound', bound: 3 }),
    rule('FLTrust', { rule: 'fltrust', root }),
  ],
  full: { seeds: 2, rounds: 3, steps: 4, batchSize: 4, rowsEach: 100, heldOut: 32 },
  quick: {
    seeds: 1,
    rounds: 2,
    steps: 2,
    batchSize: 4,
    rowsEach: 60,
    heldOut: 24,
    settings: ['nobody', 'sign flip ×10', 'NaN', 'backdoor ×5'],
    arms: ['mean', 'Multi-Krum', 'median', 'norm bound'],
  },
}
