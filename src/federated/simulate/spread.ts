/** How losses of clients differ: every client counts the same, however many rows it has. */

export interface Spread {
  /** Of the clients' losses. */
  mean: number
  /** √(Σ(lossₖ − mean)² / n). */
  standardDeviation: number
  /** Mean loss of the tenth of the clients (at least one, rounded up) that fare worst, and of the tenth that fare best. */
  worstDecile: number
  bestDecile: number
}

const meanOf = (list: readonly number[]) => list.reduce((sum, value) => sum + value, 0) / list.length

/** @param losses - one a client, at least one. */
export function spreadOf(losses: readonly number[]): Spread {
  const ascending = [...losses].sort((a, b) => a - b)
  const tenth = Math.ceil(ascending.length / 10)
  const mean = meanOf(ascending)
  return {
    mean,
    standardDeviation: Math.sqrt(meanOf(ascending.map((loss) => (loss - mean) ** 2))),
    worstDecile: meanOf(ascending.slice(-tenth)),
    bestDecile: meanOf(ascending.slice(0, tenth)),
  }
}
