/** Whether a round's secure aggregation is the one that the federation has promised: a server cannot leave it out, or make it weaker, for one round. */
import { FedloraError } from '../../errors.js'
import { parseOptions } from '../../options/parse.js'
import type { Chosen } from '../algorithms/algorithm.js'
import { weightOf } from '../algorithms/defaults.js'
import { secureSchema } from '../link/secure.js'
import type { FederationConfig } from '../options.js'
import type { Work } from './outbox.js'

const refuse = (message: string): FedloraError =>
  new FedloraError('E_PROTOCOL', `the server asks for work otherwise than its federation says: ${message}`)

/**
 * @param rows - that are trained on here.
 * @throws FedloraError `E_PROTOCOL` for work without it, or with other terms; `E_LIMIT` for rows that weigh more than a masked word has room for.
 */
export function checkSecureOffer(
  { secure }: Pick<Work, 'secure'>,
  { secureAggregation, weighting }: FederationConfig,
  chosen: Chosen,
  rows: number,
): void {
  if ((secure !== undefined) !== (secureAggregation !== undefined)) {
    throw refuse(secure === undefined ? 'updates would travel without a mask' : 'updates would travel masked')
  }
  if (secure === undefined || secureAggregation === undefined) return
  const offered = parseOptions(secureSchema, secure, "the server's secure aggregation")
  const { threshold, clip, bits, wordBits } = secureAggregation
  const promised = { threshold, clip, bits, wordBytes: wordBits / 8 }
  for (const [name, value] of Object.entries(promised)) {
    const got = offered[name as keyof typeof promised]
    if (got !== value) throw refuse(`secureAggregation: its ${name} would be ${got}, expected ${value}`)
  }
  const { mostWeight } = offered
  const weight = weightOf(chosen, weighting, { rows, tokens: 1 })
  if (mostWeight === null || weight <= mostWeight) return
  const message = `the ${rows} rows here weigh more than a masked sum of this round has room for, ${mostWeight}; the server needs fewer secureAggregation.bits, a greater screening.maxWeight, or weighting 'uniform'`
  throw new FedloraError('E_LIMIT', message, { rows, mostWeight })
}
