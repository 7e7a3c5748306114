/**
 * Tiers of clients by speed: cohorts are drawn within one of them, so that nobody waits for somebody much slower.
 *
 * Source: Chai, Ali, Zawad, Truex, Anwar, Baracaldo, Zhou, Ludwig, Yan, Cheng 2020, "TiFL: a tier-based federated learning system"; its static
 * selection with tiers of equal size, each as probable.
 */
import { uniform } from '../../protocol/random.js'

/**
 * Clients as indices, ascending within each tier; sizes differ by one at most, the fastest tier first.
 * @param seconds - of the same work, by client; equal ones stand in the order of the clients.
 */
export function tiersOf(seconds: readonly number[], count: number): number[][] {
  const order = seconds.map((_, index) => index).sort((a, b) => seconds[a]! - seconds[b]! || a - b)
  const bound = (tier: number) => Math.floor((tier * order.length) / count)
  return Array.from({ length: count }, (_, tier) => order.slice(bound(tier), bound(tier + 1)).sort((a, b) => a - b))
}

/** The tier of a round. */
export function tierOf(count: number, seed: number, round: number): number {
  return Math.floor(uniform(seed, 'tier', round) * count)
}
