/** A trial of the study of leakage, as a line of its NDJSON. */

import type { Inferred } from './inference.js'
import type { Found } from './inversion.js'

/** Tokens sought in the update of one row. */
export interface TokenTrial extends Found {
  attack: 'tokens'
  arm: string
  round: 'first' | 'later'
  rank: number
  /** Tokens of the row. */
  length: number
  victim: number
}

/** Members told from others. */
export interface MembershipTrial extends Inferred {
  attack: 'membership'
  arm: string
  seed: number
}

export type Trial = TokenTrial | MembershipTrial
