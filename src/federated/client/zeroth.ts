/** A client's training by forward passes alone, in an adapter that it borrows: the memory of inference. */
import type { Dataset } from '../../data/index.js'
import type { Adapter } from '../../model/adapter.js'
import { holding } from '../../training/hold.js'
import { forwardLoss, ZerothLoop } from '../../training/zeroth.js'
import type { Looked, ZerothPlan } from '../algorithms/algorithm.js'

/** What it takes of a client's place. */
interface ZerothPlace {
  /** Its own rows, tokenised. */
  data: Dataset
  /** Overwritten. */
  adapter: Adapter
  local: { batchSize: number; shuffle: boolean }
  signal: AbortSignal
}

/**
 * @param seed - of the row order.
 * @throws FedloraError `E_NONFINITE` when a loss is not finite; the signal's reason.
 */
export async function trainZeroth(
  { data, adapter, local, signal: outer }: ZerothPlace,
  plan: ZerothPlan & { steps: number; learningRate: number },
  seed: number,
): Promise<Looked & { seconds: number }> {
  const { batchSize, shuffle } = local
  const { epsilon, steps, learningRate, directionOf } = plan
  adapter.setVector(plan.from)
  return await holding('train', adapter, outer, async ({ model, values, signal }) => {
    const recipe = { batchSize, shuffle, epsilon, steps, learningRate, seed }
    const loop = new ZerothLoop({ values, data, recipe, directions: directionOf, loss: forwardLoss(model, values) })
    const started = performance.now()
    const sums = { loss: 0, supervised: 0, tokens: 0, updates: 0 }
    const projected: number[] = []
    while (!loop.done) {
      signal.throwIfAborted()
      const step = await loop.next(signal)
      if (step === null) continue
      projected.push(step.projected)
      sums.tokens += step.tokens
      if (step.supervised === 0) continue
      sums.updates++
      sums.supervised += step.supervised
      sums.loss += step.loss * step.supervised
    }
    const { tokens, updates, supervised } = sums
    const loss = supervised === 0 ? null : sums.loss / supervised
    const seconds = (performance.now() - started) / 1000
    return { values: values.read(), loss, steps, updates, tokens, projected, seconds }
  })
}
