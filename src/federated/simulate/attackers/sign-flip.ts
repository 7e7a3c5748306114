/** u → −scale·u: up the hill instead of down. */
import { linearCombination } from '../../../aggregation/vectors.js'
import type { AttackOptions } from '../../attacker-options.js'
import type { Attack } from './attack.js'

export const signflip: Attack<AttackOptions<'signflip'>> = {
  source:
    'Li et al. 2019, RSA: Byzantine-robust stochastic aggregation methods for distributed learning from heterogeneous datasets',
  sends: (update, { scale }) => linearCombination([-scale], [update]),
}
