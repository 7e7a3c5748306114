/** u → scale·‖u‖/√d · z, z standard normal: no direction, and longer than the others. */
import type { AttackOptions } from '../../attacker-options.js'
import type { Attack } from './attack.js'
import { noiseLike } from './draws.js'

export const noise: Attack<AttackOptions<'noise'>> = {
  source: 'Blanchard et al. 2017, Machine learning with adversaries: Byzantine tolerant gradient descent',
  sends: (update, { scale }, about) => noiseLike(update, scale, about),
}
