/** What a server knows of answers that are screened and summed elsewhere, and what it expects of their sums. */
import { FedloraError } from '../../errors.js'
import type { Answer } from '../protocol/messages.js'
import type { PartialSum } from './collect.js'

/** An answer without its vectors. */
export type AnswerFacts = Omit<Answer, 'vectors' | 'masked'>

export interface Share {
  /** Names that it must have, if it has a loss. */
  names: string[]
  /** Values of each vector that it has and may have, and the name of the sum that takes it. */
  vectors: Record<string, { length: number; sum: string }>
  /** What it counts by in means. */
  weight: number
  /** What its vectors are summed with; null: it has no such number. */
  inSums: number | null
}

/**
 * The sums of answers as they are to be merged.
 * @throws FedloraError `E_PROTOCOL` when one is missing, or of nobody.
 */
export function expectedSums(
  shares: readonly Share[],
  sums: Readonly<Record<string, Uint8Array>>,
): Map<string, PartialSum> {
  const expected = new Map<string, PartialSum>()
  for (const { length, sum } of shares.flatMap(({ vectors }) => Object.values(vectors))) {
    const bytes = Object.hasOwn(sums, sum) ? sums[sum] : undefined
    if (bytes === undefined) throw new FedloraError('E_PROTOCOL', `the sum '${sum}' is missing`, { sum })
    expected.set(sum, { length, bytes, count: (expected.get(sum)?.count ?? 0) + 1 })
  }
  const foreign = Object.keys(sums).find((name) => !expected.has(name))
  if (foreign !== undefined) throw new FedloraError('E_PROTOCOL', `the sum '${foreign}' is of nobody`, { sum: foreign })
  return expected
}
