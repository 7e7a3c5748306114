/**
 * A mixture of adapters measured on rows: the probability of a row is Σ πₘ·pₘ(row), so that its loss is
 *
 *   −log Σ πₘ·exp(−lₘ)   lₘ: the loss of the row under adapter m, summed over its supervised tokens
 */
import type { Dataset } from '../../data/index.js'
import { type EvaluationResult, evaluate, rowLosses } from '../../evaluation/evaluate.js'
import type { Adapter } from '../../model/adapter.js'
import type { Mixture } from '../algorithms/algorithm.js'
import { logSumExp } from '../algorithms/mixture.js'
import { wear } from './spaces.js'

/**
 * The mean loss over all supervised tokens; the accuracy is that of the adapter with the greatest weight.
 * @param slot - overwritten.
 * @param data - as the model takes it.
 */
export async function evaluateMixture(
  slot: Adapter,
  { weights, adapters }: Mixture,
  data: Dataset,
  signal: AbortSignal,
): Promise<EvaluationResult> {
  const logs: Float64Array[] = []
  for (const [m, values] of adapters.entries()) {
    wear(slot, values, undefined)
    const losses = await slot.base.handle.share('evaluate', (model) =>
      slot.handle.share('evaluate', (native) => rowLosses(model, native, data, { signal })),
    )
    logs.push(losses.map((loss) => Math.log(weights[m]!) - loss))
  }
  slot.setVector(adapters[weights.indexOf(Math.max(...weights))]!)
  const { tokenAccuracy, tokens } = await evaluate(slot, data, { signal })
  let sum = 0
  for (let row = 0; row < data.length; row++) sum -= logSumExp(logs.map((list) => list[row]!))
  const loss = sum / tokens
  return { loss, perplexity: Math.exp(loss), tokenAccuracy, tokens }
}
