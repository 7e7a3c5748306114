/** What the secure aggregation of a federation between machines agrees on, which depends on how many take part in a round. */
import type { Chosen } from '../algorithms/algorithm.js'
import type { FederationConfig } from '../options.js'
import { cohortSize } from '../protocol/plan.js'
import { fault, roomOf } from '../protocol/secagg/setup.js'
import { checkTerms, type Terms, termsOf } from '../secure-aggregation-options.js'
import type { CoordinatorConfig } from './options.js'
import { neededClients } from './standing.js'

type Masked = Pick<FederationConfig, 'weighting' | 'screening'> & {
  secureAggregation: NonNullable<FederationConfig['secureAggregation']>
}

/**
 * As in a simulation, but for two things. Nobody knows before a round how many rows clients have: their weights may be as great as screening.maxWeight
 * says, or as a masked word has room for. And more may take part than at first: who would then meet more peers than the threshold is right for
 * meets fewer.
 */
function termsFor({ secureAggregation, weighting, screening }: Masked, { algorithm }: Chosen, clients: number): Terms {
  const { threshold } = secureAggregation
  const equal = (algorithm.weighting ?? weighting) === 'uniform'
  const terms = termsOf(secureAggregation, clients, null)
  const tooMany = secureAggregation.neighbours === undefined && threshold * 2 <= Math.min(terms.neighbours, clients - 1)
  const neighbours = tooMany ? Math.max(1, 2 * threshold - 2) : terms.neighbours
  const mostWeight = equal ? null : (screening?.maxWeight ?? Math.max(1, Math.floor(roomOf(terms) / clients)))
  return { ...terms, neighbours, mostWeight }
}

/**
 * @param clients - that would be asked.
 * @returns how many can be, at most as many, and what they agree on.
 */
export function mostFor(config: Masked, chosen: Chosen, clients: number): { clients: number; terms: Terms } {
  for (let most = clients; ; most--) {
    const terms = termsFor(config, chosen, most)
    if (most <= 2 || fault({ ...terms, length: 1 }, most) === undefined) return { clients: most, terms }
  }
}

/** @throws FedloraError `E_CONFIG` for a secure aggregation that cannot work with the clients that a round begins with, as in a simulation. */
export function checkSecure(config: CoordinatorConfig, chosen: Chosen): void {
  const { secureAggregation, ...federation } = config.federation
  if (secureAggregation === undefined) return
  const clients = cohortSize(federation.cohort, neededClients(config))
  const { neighbours } = termsOf(secureAggregation, clients, null)
  checkTerms({ ...termsFor({ ...federation, secureAggregation }, chosen, clients), neighbours }, clients)
}
