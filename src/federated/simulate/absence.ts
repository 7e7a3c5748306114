/** Which clients do not answer, and when they are lost: drawn from the seed, the round and the client's name. */
import { streamOf, uniform } from '../protocol/random.js'

export function isAbsent(seed: number, round: number, client: string, probability: number): boolean {
  return uniform(seed, 'absence', round, streamOf(client)) < probability
}

/** One of the phases of a protocol in which an absent client is lost; undefined: it is not absent. */
export function lostAt<P>(
  seed: number,
  round: number,
  client: string,
  probability: number,
  phases: readonly P[],
): P | undefined {
  if (!isAbsent(seed, round, client, probability)) return undefined
  return phases[
    Math.floor(uniform(seed, 'absence', round, streamOf(JSON.stringify([client, 'phase']))) * phases.length)
  ]
}
