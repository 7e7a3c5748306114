/** Loss, perplexity and next-token accuracy over the supervised tokens of a data set. */
import { z } from 'zod'
import { pack } from '../data/batches.js'
import type { Dataset } from '../data/dataset.js'
import { fitToModel } from '../data/fit.js'
import { describeValue } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import { Adapter } from '../model/adapter.js'
import { Model } from '../model/model.js'
import type { NativeAdapter, NativeModel } from '../native/binding.js'
import { parseOptions } from '../options/parse.js'

export const evaluateOptionsSchema = z.strictObject({
  batchTokens: z.int().min(1).default(2048).describe('tokens evaluated at once, at most (a longer row goes alone)'),
  signal: z.instanceof(AbortSignal).optional().describe('stops the evaluation'),
  onProgress: z
    .custom<(done: number, total: number) => void>((value) => typeof value === 'function', 'expected a function')
    .optional()
    .describe('told after each batch how many rows are done, and of how many'),
})

/** Options of `evaluate`. Default: 2048 tokens at once. */
export type EvaluateOptions = z.input<typeof evaluateOptionsSchema>

export interface EvaluationResult {
  /** Mean cross-entropy over the supervised tokens, in nats. */
  loss: number
  /** e to the loss. */
  perplexity: number
  /** Share of supervised tokens that are the most probable one. */
  tokenAccuracy: number
  /** Supervised tokens. */
  tokens: number
}

/** Rows of the data set in order, as many at once as fit into `batchTokens`. */
function* groups(data: Dataset, batchTokens: number): Generator<number[], void, undefined> {
  let group: number[] = []
  let tokens = 0
  for (let index = 0; index < data.length; index++) {
    const length = data.facts(index).tokens
    if (group.length > 0 && tokens + length > batchTokens) {
      yield group
      group = []
      tokens = 0
    }
    group.push(index)
    tokens += length
  }
  if (group.length > 0) yield group
}

/** @internal The sums of a whole data set over native objects that the caller keeps alive. */
export async function evaluateNative(
  model: NativeModel,
  adapter: NativeAdapter | null,
  data: Dataset,
  batchTokens: number,
  signal?: AbortSignal,
  onProgress?: (done: number, total: number) => void,
): Promise<EvaluationResult> {
  let lossSum = 0
  let correct = 0
  let tokens = 0
  for (const group of groups(data, batchTokens)) {
    signal?.throwIfAborted()
    const sums = await model.evaluate(adapter, pack(group.map((index) => data.sample(index))))
    lossSum += sums.lossSum
    correct += sums.correct
    tokens += sums.supervised
    onProgress?.(group.at(-1)! + 1, data.length)
  }
  signal?.throwIfAborted()
  if (tokens === 0) {
    throw new FedloraError('E_DATA', `evaluate: none of the ${data.length} rows has a supervised token`, {
      rows: data.length,
    })
  }
  const loss = lossSum / tokens
  return { loss, perplexity: Math.exp(loss), tokenAccuracy: correct / tokens, tokens }
}

/**
 * @internal Σ of the losses over each row's supervised tokens, in nats: −log of the probability that the model gives the row's answer. 0 where
 * a row has none; `data.facts(index).supervised` is their number. Forward passes only; no result depends on how rows share them.
 * @throws the signal's reason when aborted.
 */
export async function rowLosses(
  model: NativeModel,
  adapter: NativeAdapter | null,
  data: Dataset,
  { batchTokens = 2048, signal }: { batchTokens?: number; signal?: AbortSignal | undefined } = {},
): Promise<Float64Array> {
  const losses = new Float64Array(data.length)
  for (const group of groups(data, batchTokens)) {
    signal?.throwIfAborted()
    const sums = await model.evaluate(adapter, pack(group.map((index) => data.sample(index))))
    losses.set(sums.rowLosses, group[0])
  }
  signal?.throwIfAborted()
  return losses
}

/**
 * Evaluates an adapter, or a model without one.
 * @throws FedloraError `E_DATA` when no token is supervised, `E_ARGUMENT`, `E_TOKENIZER`, `E_DISPOSED`, `E_BUSY`; the signal's reason when aborted.
 * @example
 * ```ts
 * const model = await loadModel('SmolLM2-135M-Instruct')
 * const data = await loadDataset('notes.jsonl', { format: 'alpaca', tokenizer: model })
 * const { loss, perplexity } = await evaluate(model, data, { batchTokens: 512 })
 * ```
 */
export async function evaluate(
  target: Adapter | Model,
  data: Dataset,
  options: EvaluateOptions = {},
): Promise<EvaluationResult> {
  const { batchTokens, signal, onProgress } = parseOptions(evaluateOptionsSchema, options, 'evaluate options')
  const adapter = target instanceof Adapter ? target : undefined
  const model = target instanceof Adapter ? target.model : target
  if (!(model instanceof Model)) {
    throw new FedloraError('E_ARGUMENT', `evaluate: got ${describeValue(target)}, expected a model or an adapter`)
  }
  model.handle.use('evaluate')
  adapter?.handle.use('evaluate')
  const ready = await fitToModel(data, model, { signal })
  return await model.withAdapter('evaluate', adapter, (native, values) =>
    evaluateNative(native, values, ready, batchTokens, signal, onProgress),
  )
}
