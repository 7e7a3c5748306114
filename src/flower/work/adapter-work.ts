/** The work of a node over a model: sets the adapter to what the server sends, trains it on its own rows, or evaluates it on them. */
import type { Dataset } from '../../data/dataset.js'
import { describeValue } from '../../errors/describe.js'
import { FedloraError } from '../../errors.js'
import { evaluate } from '../../evaluation/evaluate.js'
import { deriveSeed } from '../../federated/protocol/random.js'
import type { Adapter } from '../../model/adapter.js'
import type { TrainEvent } from '../../training/events.js'
import { parseTrainOptions, type TrainOptions } from '../../training/options.js'
import { train } from '../../training/train.js'
import type { Instruction, Reply, Work } from '../node/instruction.js'
import { loadArrays, takeArrays } from './names.js'
import type { Follow, MetricNames } from './options.js'

export interface AdapterWork {
  adapter: Adapter
  data: Dataset
  evaluation: Dataset | undefined
  local: TrainOptions
  follow: Follow
  metrics: MetricNames
  /** Told the events of every training. */
  onEvent(event: TrainEvent, instruction: Instruction): void
}

/**
 * Options of one training: what the server sets laid over one's own.
 * @throws FedloraError `E_CONFIG` for what the server does not say, or says wrongly.
 */
function optionsFor(local: TrainOptions, follow: Follow, { config, round, id }: Instruction): TrainOptions {
  const set: Record<string, unknown> = {}
  for (const [option, field] of Object.entries(follow) as [keyof Follow, string][]) {
    const value = config.get(field)
    if (typeof value !== 'bigint' && typeof value !== 'number') {
      const message = `flower: follow.${option}: the server's configuration has ${describeValue(value)} in '${field}', expected a number`
      throw new FedloraError('E_CONFIG', message, { field })
    }
    set[option] = Number(value)
    if (option === 'maxSteps') set.epochs = undefined
    if (option === 'epochs') set.maxSteps = undefined
  }
  // Where no round is told, every message is one: a message that is worked on again gives the same adapter.
  const seed = deriveSeed(local.seed ?? 0, 'training', round ?? Number.parseInt(id.slice(0, 8), 16))
  const options = { ...local, ...set, seed }
  parseTrainOptions(options)
  return options
}

async function trainOn(work: AdapterWork, instruction: Instruction, signal: AbortSignal): Promise<Reply> {
  const { adapter, data, local, follow, metrics, onEvent } = work
  const options = optionsFor(local, follow, instruction)
  loadArrays(adapter, instruction.arrays)
  const run = train(adapter, data, { ...options, signal })
  const told = (async () => {
    for await (const event of run.events()) onEvent(event, instruction)
  })()
  const [{ meanLoss }] = await Promise.all([run, told])
  if (!Number.isFinite(meanLoss)) {
    throw new FedloraError('E_DATA', `flower: none of the ${data.length} rows has a supervised token`, {})
  }
  return {
    arrays: takeArrays(adapter, instruction.arrays),
    metrics: { [metrics.train]: meanLoss, [metrics.examples]: BigInt(data.length) },
  }
}

async function evaluateOn(work: AdapterWork, instruction: Instruction, signal: AbortSignal): Promise<Reply> {
  const { adapter, evaluation, metrics } = work
  const data = evaluation ?? work.data
  loadArrays(adapter, instruction.arrays)
  const { loss } = await evaluate(adapter, data, { signal })
  return { metrics: { [metrics.evaluate]: loss, [metrics.examples]: BigInt(data.length) } }
}

/** A `Work` that answers `train` with arrays, mean loss and rows, `evaluate` with loss and rows, and refuses everything else. */
export function adapterWork(work: AdapterWork): Work {
  return async (instruction, signal) => {
    if (instruction.kind === 'train') return await trainOn(work, instruction, signal)
    if (instruction.kind === 'evaluate') return await evaluateOn(work, instruction, signal)
    const message = `flower: an instruction '${instruction.kind}'; this client does train and evaluate`
    throw new FedloraError('E_UNSUPPORTED', message, { kind: instruction.kind })
  }
}
