/** Labels: which tokens of a row the loss is taken of. `labels[i]` belongs to `inputIds[i]`; the engine shifts by one. */

/** The label of a token that is not supervised. */
export const notSupervised = -100

/** Tokens that the loss is taken of: all with a label but the first of a row, which nothing predicts. */
export function supervisedTokens(labels: ArrayLike<number>): number {
  let count = 0
  for (let i = 1; i < labels.length; ++i) if (labels[i] !== notSupervised) ++count
  return count
}
