/**
 * Inner-product manipulation: u → −ε·ū, so that the inner product of the mean with the honest mean ū is negative while every vector looks ordinary.
 * The attacker knows nothing of the others: its own honest update stands for ū.
 */
import { linearCombination } from '../../../aggregation/vectors.js'
import type { AttackOptions } from '../../attacker-options.js'
import type { Attack } from './attack.js'

export const innerproduct: Attack<AttackOptions<'innerproduct'>> = {
  source: 'Xie et al. 2020, Fall of empires: breaking Byzantine-tolerant SGD by inner product manipulation',
  sends: (update, { epsilon }) => linearCombination([-epsilon], [update]),
}
