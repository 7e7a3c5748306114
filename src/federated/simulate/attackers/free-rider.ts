/**
 * Sends what costs no work: zeros, or noise of an update's norm. In a simulation it trains all the same, so that its report and the norm are an
 * honest client's; nothing of what it has learnt is sent.
 */
import type { AttackOptions } from '../../attacker-options.js'
import type { Attack } from './attack.js'
import { noiseLike } from './draws.js'

export const freerider: Attack<AttackOptions<'freerider'>> = {
  source: 'Fraboni et al. 2021, Free-rider attacks on model aggregation in federated learning',
  sends: (update, { sends }, about) =>
    sends === 'zeros' ? new Float32Array(update.length) : noiseLike(update, 1, about),
}
