/** The attack on tokens as trials: which share of a row's tokens is read off one update, by what is done against it, rank, and the row's length. */
import { norm } from '../../../aggregation/vectors.js'
import type { Dataset } from '../../../data/index.js'
import type { Model } from '../../../model/model.js'
import { type Arm, batchSize } from './design.js'
import { firstInputs } from './first-inputs.js'
import { likeliestTokens, shareFound } from './tokens.js'
import { beginning, tokensOf, updateOf } from './victims.js'

export interface Found {
  /** Different tokens of the rows behind what was seen. */
  tokens: number
  /** Share of them among as many likeliest ones; and among as many commonest ones of public rows, for which no update is needed. */
  found: number
  guessed: number
}

/** Rows of the world: what everybody knows, and what clients hold. */
export interface Rows {
  known: Dataset
  held: Dataset
}

/** Steps on known rows that a later round begins from. */
const warmSteps = 16

/** Tokens, the commonest of known rows first. */
function commonest(known: Dataset, vocabulary: number): number[] {
  const counts = new Uint32Array(vocabulary)
  for (let row = 0; row < known.length; row++) for (const token of known.sample(row).inputIds) counts[token]!++
  return [...counts.keys()].sort((a, b) => counts[b]! - counts[a]! || a - b)
}

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1]!

/** An attacker of clients that train an adapter of one rank, in the first round or in a later one. */
export async function openInversion(
  model: Model,
  { known, held }: Rows,
  { rank, round }: { rank: number; round: 'first' | 'later' },
  signal: AbortSignal,
) {
  const adapter = model.createAdapter({ rank, alpha: 2 * rank, seed: 1 })
  const { layout } = adapter
  const inputs = firstInputs(model)
  const common = commonest(known, inputs.vocabulary)
  const fresh = adapter.vector()
  const gained =
    round === 'first' ? undefined : await updateOf(adapter, fresh, known, { batchSize, maxSteps: warmSteps }, signal)
  const start = gained === undefined ? fresh : adapter.vector()

  return {
    /** @param victim - its rows are its own, and those of its cohort. */
    async attack({ protection, work }: Arm, length: number, victim: number): Promise<Found> {
      const cohort = await Promise.all(
        Array.from({ length: protection.cohort }, (_, member) =>
          beginning(held, (victim * 16 + member) % held.length, length),
        ),
      )
      const updates: Float32Array[] = []
      for (const rows of cohort) updates.push(await updateOf(adapter, start, rows, { batchSize, ...work }, signal))
      const update = await protection.seen(updates, median(updates.map((one) => norm(one))), victim)
      const secret = new Set(cohort.flatMap((rows) => [...tokensOf(rows)]))
      const likeliest = likeliestTokens({ adapter: start, update, layout }, inputs, secret.size)
      return { tokens: secret.size, found: shareFound(likeliest, secret), guessed: shareFound(common, secret) }
    },
    [Symbol.dispose]: () => adapter.dispose(),
  }
}
