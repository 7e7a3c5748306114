/** Who is asked in a round. Pure: a cohort is a function of the seed and the round number, nothing else. */
import { FedloraError } from '../../errors.js'
import { uniform } from './random.js'

/** A share in (0, 1] of all clients, a number of clients (a whole number from 2), or `{ clients }` for any number from 1. */
export type Cohort = number | { clients: number }

/** Number of clients asked in each round; at least one, at most all. */
export function cohortSize(cohort: Cohort, clients: number): number {
  const share = typeof cohort === 'number' && cohort > 0 && cohort <= 1
  const wanted =
    typeof cohort === 'object' ? cohort.clients : share ? Math.max(1, Math.round(cohort * clients)) : cohort
  if (!(wanted >= 1) || !Number.isInteger(wanted)) {
    throw new FedloraError(
      'E_ARGUMENT',
      `cohort: got ${JSON.stringify(cohort)}, expected a share above 0 and at most 1, or a whole number of clients`,
      { cohort },
    )
  }
  if (wanted > clients) {
    throw new FedloraError(
      'E_ARGUMENT',
      `cohort: got ${wanted} clients a round, expected at most ${clients}, which is all there are`,
      { cohort, clients },
    )
  }
  return wanted
}

/**
 * `count` different numbers out of [0, population), ascending. A Fisher–Yates shuffle that stores only the places it
 * touched: memory grows with `count`, not with the population.
 * @param from - draws of the round that were made before.
 */
export function sampleCohort(population: number, count: number, seed: number, round: number, from = 0): number[] {
  const moved = new Map<number, number>()
  const drawn: number[] = []
  for (let i = 0; i < count; i++) {
    const j = i + Math.floor(uniform(seed, 'cohort', round, from + i) * (population - i))
    drawn.push(moved.get(j) ?? j)
    moved.set(j, moved.get(i) ?? i)
  }
  return drawn.sort((a, b) => a - b)
}

/**
 * Those of [0, population) that a draw below `rate` takes, each by itself (Poisson sampling), ascending; there may be none.
 * @param draw - uniform in [0, 1), of an index.
 */
export function poissonCohort(population: number, rate: number, draw: (index: number) => number): number[] {
  const taken: number[] = []
  for (let index = 0; index < population; index++) if (draw(index) < rate) taken.push(index)
  return taken
}

/**
 * The clients that are asked in round `round` (from 1), as indices into their names in ascending order.
 * @throws FedloraError `E_ARGUMENT` for a cohort that is none.
 */
export function cohortOf(clients: number, cohort: Cohort, seed: number, round: number): number[] {
  if (!Number.isInteger(round) || round < 1) {
    throw new FedloraError('E_ARGUMENT', `round: got ${round}, expected a whole number from 1`, { round })
  }
  return sampleCohort(clients, cohortSize(cohort, clients), seed, round)
}
