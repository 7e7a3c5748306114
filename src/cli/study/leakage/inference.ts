/** The attack on membership as trials: rows that a client has trained on beside rows of nobody, scored by the adapter that is seen. */
import { linearCombination, norm } from '../../../aggregation/vectors.js'
import type { Dataset } from '../../../data/index.js'
import { rowLosses } from '../../../evaluation/evaluate.js'
import type { Adapter } from '../../../model/adapter.js'
import type { Model } from '../../../model/model.js'
import { permutation } from '../../../random/random.js'
import { batchSize, rank, type Sizes } from './design.js'
import { type Membership, membershipOf } from './membership.js'
import type { Protection } from './protections.js'
import { updateOf } from './victims.js'

export interface Inferred {
  /** By the loss under the adapter that is seen. */
  loss: Membership
  /** By that loss minus the loss under the adapter that had been sent. */
  change: Membership
}

/** Mean loss of each row over its supervised tokens. */
async function lossesOf(model: Model, adapter: Adapter, rows: Dataset, signal: AbortSignal): Promise<Float64Array> {
  const sums = await model.withAdapter('study', adapter, (native, values) =>
    rowLosses(native, values!, rows, { signal }),
  )
  return sums.map((sum, row) => sum / rows.facts(row).supervised)
}

/** An attacker of clients of `members` rows each; the first is the victim, the rows after the last are nobody's. */
export async function openInference(
  model: Model,
  held: Dataset,
  { members, others, steps }: Sizes,
  { clients, seed }: { clients: number; seed: number },
  signal: AbortSignal,
) {
  const adapter = model.createAdapter({ rank, alpha: 2 * rank, seed })
  const start = adapter.vector()
  const order = permutation(held.length, seed, 0)
  const part = (begin: number, count: number) => held.subset(order.subarray(begin, begin + count))
  const updates: Float32Array[] = []
  for (let client = 0; client < clients; client++) {
    updates.push(
      await updateOf(adapter, start, part(client * members, members), { batchSize, maxSteps: steps, seed }, signal),
    )
  }
  const nobodys = order.subarray(clients * members, clients * members + others)
  const judged = held.subset([...order.subarray(0, members), ...nobodys])
  adapter.setVector(start)
  const before = await lossesOf(model, adapter, judged, signal)
  const clip = norm(updates[0]!)
  const judge = (scores: Float64Array) => membershipOf(scores.subarray(0, members), scores.subarray(members))

  return {
    async attack({ cohort, seen }: Protection): Promise<Inferred> {
      adapter.setVector(linearCombination([1, 1], [start, await seen(updates.slice(0, cohort), clip, seed)]))
      const after = await lossesOf(model, adapter, judged, signal)
      return { loss: judge(after), change: judge(after.map((loss, row) => loss - before[row]!)) }
    },
    [Symbol.dispose]: () => adapter.dispose(),
  }
}
