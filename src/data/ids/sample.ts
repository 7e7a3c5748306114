/** A row as the model sees it, and what is known of it. */
import { supervisedTokens } from './labels.js'

/** Ids and what of them is learnt. */
export interface LabelledIds {
  readonly inputIds: Int32Array
  /** labels[i] belongs to inputIds[i]; -100 is not supervised. The shift by one is the trainer's. */
  readonly labels: Int32Array
}

/** A tokenised row. */
export interface Sample extends LabelledIds {
  /** Tokens that the loss is taken of; a row of none teaches nothing. */
  readonly supervised: number
  /** Whether it was cut to `maxLength`. */
  readonly truncated: boolean
}

/** What is known of a tokenised row without its ids. */
export interface RowFacts extends Pick<Sample, 'supervised' | 'truncated'> {
  /** Ids of the row. */
  readonly tokens: number
}

export function factsOf({ inputIds, supervised, truncated }: Sample): RowFacts {
  return { tokens: inputIds.length, supervised, truncated }
}

/** The row with `maxLength` tokens at most. */
export function cut({ inputIds, labels }: LabelledIds, maxLength: number): Sample {
  const truncated = inputIds.length > maxLength
  const kept = truncated ? labels.slice(0, maxLength) : labels
  return {
    inputIds: truncated ? inputIds.slice(0, maxLength) : inputIds,
    labels: kept,
    supervised: supervisedTokens(kept),
    truncated,
  }
}
