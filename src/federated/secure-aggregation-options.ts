/** Options of secure aggregation, and what they come to for a cohort. */
import { z } from 'zod'
import { FedloraError } from '../errors.js'
import { fault, type Setup } from './protocol/secagg/setup.js'

export const secureAggregationSchema = z.strictObject({
  threshold: z
    .int()
    .min(1)
    .describe(
      'shares of a client’s secrets that give them back, more than half of its neighbours; a round in which somebody keeps fewer neighbours is abandoned',
    ),
  neighbours: z
    .int()
    .min(1)
    .optional()
    .describe(
      'clients that each one shares masks and secrets with; default everyone, from 32 clients a round on 2 · threshold − 2',
    ),
  clip: z.number().positive().describe('values of an update are clipped to ± this'),
  bits: z.int().min(1).max(24).default(16).describe('values are rounded at random to 2^bits steps between ± clip'),
  wordBits: z
    .union([z.literal(16), z.literal(32)])
    .default(32)
    .describe('bits of a masked word: what is sent for a value. The cohort’s weights times 2^bits must fit'),
})

export type SecureAggregationConfig = z.output<typeof secureAggregationSchema>

/** Clients of a round from which on not everyone meets everyone. */
const sparseFrom = 32

/** What a setup takes from the options: all but who takes part, and how long updates are. */
export type Terms = Omit<Setup, 'run' | 'round' | 'identities' | 'length'>

/**
 * @param clients - of a round.
 * @param mostWeight - the greatest of a client; null: all weigh the same.
 */
export function termsOf(
  { threshold, neighbours, clip, bits, wordBits }: SecureAggregationConfig,
  clients: number,
  mostWeight: number | null,
): Terms {
  const usual = clients < sparseFrom ? clients - 1 : 2 * threshold - 2
  return {
    neighbours: neighbours ?? Math.max(usual, 1),
    threshold,
    clip,
    bits,
    wordBytes: wordBits === 16 ? 2 : 4,
    mostWeight,
  }
}

/** @throws FedloraError `E_CONFIG` for options that cannot work with so many clients of such weights. */
export function checkTerms(terms: Terms, clients: number): void {
  const wrong = fault({ ...terms, length: 1 }, clients)
  if (wrong === undefined) return
  throw new FedloraError('E_CONFIG', `the federation’s options: secureAggregation: ${wrong}`, { ...terms, clients })
}
