/**
 * Was a row trained on? The attacker compares its loss with a threshold; every threshold gives a rate of members found and of others accused.
 *
 * Source: Yeom et al. 2018, "Privacy risk in machine learning: analyzing the connection to overfitting"; the loss minus that of the model before
 * training: Watson et al. 2022, "On the importance of difficulty calibration in membership inference attacks"; why the true positive rate
 * where few are accused is what counts: Carlini et al. 2022, "Membership inference attacks from first principles".
 */

export interface Membership {
  /** Probability that a member looks more like one than another row does: 0.5 is guessing. */
  auc: number
  /** Share of members found when at most one in a hundred others is accused. */
  found: number
}

const accused = 0.01

/** @param members - scores of rows that were trained on, the lower the likelier; `others` of rows that were not. */
export function membershipOf(members: ArrayLike<number>, others: ArrayLike<number>): Membership {
  const ascending = Float64Array.from(others).sort()
  let wins = 0
  for (const score of Array.from(members)) {
    const below = countBelow(ascending, score)
    const ties = countBelow(ascending, score, true) - below
    wins += ascending.length - below - ties / 2
  }
  const allowed = Math.floor(accused * ascending.length)
  const threshold = ascending[allowed]! // as many others lie strictly below as may be accused, or fewer
  const caught = Array.from(members).filter((score) => score < threshold).length
  return { auc: wins / (members.length * ascending.length), found: caught / members.length }
}

/** How many of ascending values lie below a score, or not above it. */
function countBelow(ascending: Float64Array, score: number, orAt = false): number {
  let [low, high] = [0, ascending.length]
  while (low < high) {
    const middle = (low + high) >> 1
    const value = ascending[middle]!
    if (value < score || (orAt && value === score)) low = middle + 1
    else high = middle
  }
  return low
}
