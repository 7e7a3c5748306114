/** Training an adapter in place: the API. `loop.ts` takes the steps, `trainer.ts` does what is due between them, `record.ts` writes it down. */
import type { Dataset } from '../data/dataset.js'
import { fitToModel } from '../data/fit.js'
import { describeValue } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import { Adapter } from '../model/adapter.js'
import { isAbortOf } from '../run/failure.js'
import { Run, type RunContext } from '../run/run.js'
import type { TrainEvent, TrainResult } from './events.js'
import { holding } from './hold.js'
import { chooseRecompute } from './memory.js'
import { parseTrainOptions, type TrainConfig, type TrainOptions } from './options.js'
import { preparing } from './progress.js'
import { errorEvent } from './record.js'
import { Trainer } from './trainer.js'

/** A run: iterate it for its events, await it for its result. */
export type TrainRun = Run<TrainEvent, TrainResult>

/** Makes ready what a run needs and holds model and adapter for as long as it lasts. `onBegin` gets the trainer before its first step. */
async function work(
  adapter: Adapter,
  data: Dataset,
  config: TrainConfig,
  context: RunContext<TrainEvent>,
  onBegin: (trainer: Trainer) => void,
): Promise<TrainResult> {
  const { model } = adapter
  return await holding('train', adapter, context.signal, async (held) => {
    context.signal.throwIfAborted()
    const prepare = {
      ...preparing(held.signal, context.emit),
      onWarning: (message: string) => context.emit({ type: 'warning', step: 0, message }),
    }
    const ready = await fitToModel(data, model, prepare)
    adapter.promptFormat = ready.promptFormat ?? adapter.promptFormat
    const evaluationData = config.evaluate && (await fitToModel(config.evaluate.data, model, prepare))
    const recompute = chooseRecompute(held.model, adapter, ready, config)
    const trainer = new Trainer({ adapter, held, data: ready, evaluationData, config, context, recompute })
    onBegin(trainer)
    return await trainer.run()
  })
}

/**
 * Trains an adapter in place. The run starts at once; iterate it for events, await it for the result (`Run` says who stops it
 * and who only looks on). Nothing else may use the adapter meanwhile (`E_BUSY`).
 *
 * The loss of a step is the mean over all its supervised tokens, however it is split into micro-batches. With an `outputDir` the run
 * leaves `config.json`, `events.ndjson`, `adapter/` and `checkpoints/`; `resumeFrom` goes on from the newest checkpoint, bit for bit as if
 * it had never stopped; `maxSteps` and `epochs` may differ then, where the schedule's rates so far do not depend on them. However the run
 * ends, the folder holds a checkpoint and the adapter of its last good step; a failure is the log's last line, an event `error`.
 *
 * With `privacy` every step is differentially private (DP-SGD), and what is protected is one row: the adapter tells at most ε more, except
 * with probability δ, than one made without it. That does not hold for events, losses and evaluations, which are of the rows themselves,
 * nor for a person with several rows. ε so far is in the events and the result, and in the folder's `privacy.json`, which is written before
 * any checkpoint or adapter; a run ends before the step that would exceed `privacy.epsilon`.
 * @param adapter - the adapter to train.
 * @param data - the rows; without a tokenizer of their own they get the model's.
 * @param options - see `TrainOptions` for the defaults.
 * @throws FedloraError (by rejection) `E_CONFIG`, `E_DATA`, `E_MEMORY`, `E_NONFINITE` (the adapter of the last good step is kept),
 * `E_CHECKPOINT`, `E_IO`, `E_BUSY`, `E_DISPOSED`, `E_TOKENIZER`; the signal's reason when aborted.
 * @example
 * ```ts
 * const model = await loadModel('SmolLM2-135M-Instruct', { quantization: 'nf4' })
 * const data = await loadDataset('notes.jsonl', { format: 'alpaca', tokenizer: model })
 * const run = train(model.createAdapter({ rank: 8 }), data, { maxSteps: 2, batchSize: 4, learningRate: 1e-3 })
 * for await (const event of run) if (event.type === 'step') console.log(event.step, event.loss)
 * const { loss } = await run
 *
 * const privacy = { clip: 1, epsilon: 8, delta: 1e-5 }
 * const spent = await train(model.createAdapter({ rank: 8 }), data, { maxSteps: 2, batchSize: 4, privacy })
 * console.log(spent.privacy?.epsilon) // at most 8
 * ```
 */
export function train(adapter: Adapter, data: Dataset, options: TrainOptions = {}): TrainRun {
  const signal = options?.signal instanceof AbortSignal ? options.signal : undefined
  return new Run<TrainEvent, TrainResult>(async (context) => {
    let trainer: Trainer | undefined
    try {
      if (!(adapter instanceof Adapter)) {
        throw new FedloraError('E_ARGUMENT', `train: got ${describeValue(adapter)}, expected an adapter`)
      }
      return await work(adapter, data, parseTrainOptions(options), context, (begun) => {
        trainer = begun
      })
    } catch (error) {
      if (!isAbortOf(context, error)) context.emit(errorEvent(error, trainer?.step ?? 0))
      throw error
    }
  }, signal)
}
