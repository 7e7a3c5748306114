/** Which clients do not answer: drawn from the seed, the round and the client's name. */
import { streamOf, uniform } from '../protocol/random.js'

export function isAbsent(seed: number, round: number, client: string, probability: number): boolean {
  return uniform(seed, 'absence', round, streamOf(client)) < probability
}
