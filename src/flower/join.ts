/** A node of a Flower federation that trains an adapter over a model. */
import type { z } from 'zod'
import { fitToModel } from '../data/fit.js'
import { FedloraError } from '../errors.js'
import { Adapter } from '../model/adapter.js'
import { parseOptions } from '../options/parse.js'
import { Run } from '../run/run.js'
import type { StepEvent } from '../training/events.js'
import { parseTrainOptions } from '../training/options.js'
import type { NodeEvent, NodeResult } from './node/events.js'
import { type FlowerRun, workAsNode } from './run-node.js'
import { adapterWork } from './work/adapter-work.js'
import { type FlowerJoinOptions, joinOptionsSchema } from './work/options.js'

/** What a node that trains tells: what every node does, and the steps of its trainings. */
export type FlowerEvent = NodeEvent | (StepEvent & { round?: number })

/** @throws FedloraError `E_ARGUMENT` for an adapter of another model. */
function ownAdapter({ adapter, model }: z.output<typeof joinOptionsSchema>): { adapter: Adapter; made: boolean } {
  if (!(adapter instanceof Adapter)) return { adapter: model.createAdapter(adapter), made: true }
  if (adapter.model === model) return { adapter, made: false }
  throw new FedloraError('E_ARGUMENT', 'flower join: the adapter is one of another model', {})
}

/**
 * Takes part in the Flower federations of a SuperLink (1.40 to 1.43) as a node that trains an adapter: the client's half of FlowerTune, without
 * Python. For `train` it sets the adapter to the server's arrays (names of PEFT's state dict, float32), trains it on its rows, and answers the
 * arrays in the order in which they came, `train_loss` and `num-examples`; for `evaluate`, `eval_loss` and `num-examples`. Arrays that do not
 * fit the adapter are refused, and the server is told why. Rows never leave.
 *
 * It goes on until the signal fires, `stop()` is called, or nothing came for `idle` seconds; what is under way lies in `folder`, from where the
 * next start goes on. See `runFlowerNode`.
 * @throws FedloraError (by rejection) as `runFlowerNode`; `E_CONFIG`, `E_ARGUMENT`, `E_TOKENIZER`, `E_MEMORY`, `E_DISPOSED`, `E_BUSY`.
 */
export function joinFlower(options: FlowerJoinOptions): FlowerRun<FlowerEvent> {
  const signal = options?.signal instanceof AbortSignal ? options.signal : undefined
  return new Run<FlowerEvent, NodeResult>(async (context) => {
    const parsed = parseOptions(joinOptionsSchema, options, 'flower join options')
    const { model, data: rows, evaluation: heldOut, local, follow, metrics, adapter: _, ...node } = parsed
    parseTrainOptions(local)
    const prepare = { signal: context.signal }
    const data = await fitToModel(rows, model, prepare)
    const evaluation = heldOut && (await fitToModel(heldOut, model, prepare))
    const { adapter, made } = ownAdapter(parsed)
    adapter.promptFormat = data.promptFormat ?? adapter.promptFormat
    try {
      const work = adapterWork({
        adapter,
        data,
        evaluation,
        local,
        follow,
        metrics,
        onEvent(event, { round }) {
          if (event.type === 'step') context.emit({ ...event, ...(round !== undefined && { round }) })
        },
      })
      return await workAsNode({ ...node, work }, context)
    } finally {
      if (made) adapter.dispose()
    }
  }, signal)
}
