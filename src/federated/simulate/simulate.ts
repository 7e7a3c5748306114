/**
 * A federation in one process: one frozen base shared by all clients, who train one after another or several in one pass, encode
 * their updates as they would for a network, and have them decoded and averaged by the streaming aggregator.
 *
 * Memory: the packed model, one adapter and one training session for each client at work at the same time, and a fixed number
 * of vectors of the adapter's length. What must be remembered of a client lies in files.
 */
import { resolve } from 'node:path'
import { describeValue } from '../../errors/describe.js'
import { FedloraError } from '../../errors.js'
import { Adapter } from '../../model/adapter.js'
import type { AdapterOptions } from '../../model/adapter-options.js'
import { Model } from '../../model/model.js'
import { parseOptions } from '../../options/parse.js'
import { Run } from '../../run/run.js'
import { chooseAlgorithm } from '../algorithms/index.js'
import { checkCombinations } from '../combinations.js'
import { type EvaluationOptions, evaluationSchema } from '../evaluation-options.js'
import type { FederationEvent, FederationResult } from '../events.js'
import { type FederationOptions, federationSchema } from '../options.js'
import type { ClientsInput } from './clients.js'
import { Closers } from './closers.js'
import { federate } from './federate.js'
import type { Request } from './open.js'

export interface SimulateOptions extends FederationOptions {
  model: Model
  /** An adapter to continue (it is changed), or the options of a new one. Default: a new one with the default options. */
  adapter?: Adapter | AdapterOptions
  clients: ClientsInput
  /**
   * What is measured, every so many rounds (0: only after the last) and at the end: the global adapter on `data`, rows of nobody; and with
   * `of` every client on its own test rows, by the global adapter, by its own, or by both. `fineTune`: each takes some steps on its rows before
   * its own adapter is measured, and nothing of them is kept.
   */
  evaluate?: EvaluationOptions
  signal?: AbortSignal
}

function checkObjects(options: SimulateOptions): void {
  if (!(options.model instanceof Model)) {
    throw new FedloraError(
      'E_ARGUMENT',
      `simulate: model: got ${describeValue(options.model)}, expected a loaded model`,
    )
  }
  if (options.adapter instanceof Adapter && options.adapter.model !== options.model) {
    throw new FedloraError('E_ARGUMENT', 'simulate: the adapter belongs to another model')
  }
  if (options.adapter instanceof Adapter && options.adapter.residualRanks !== undefined) {
    const message = `simulate: the adapter has a residual, expected one without: save it and load it again, which gives one adapter of the summed rank`
    throw new FedloraError('E_ARGUMENT', message)
  }
}

/**
 * Simulates a federation. The run starts at once; iterate it for its events, await it for its result. `break` stops it after
 * the step in flight and keeps the last complete round.
 *
 * Downloads are counted for every member of the cohort as encoded by `download.codec` (float32 unless told otherwise), uploads
 * as the encoded messages of those that answered.
 * @throws FedloraError `E_CONFIG`, `E_ARGUMENT` at once; the run rejects with `E_DATA`, `E_CHECKPOINT`, `E_IO`, `E_NONFINITE`
 * (naming round and client), `E_DISPOSED`, `E_BUSY`, or the signal's reason.
 * @example
 * ```ts
 * const model = await loadModel('SmolLM2-135M-Instruct', { quantization: 'nf4' })
 * const data = await loadDataset('notes.jsonl', { format: 'alpaca', tokenizer: model })
 * const clients = split(data, { by: 'iid', clients: 3, seed: 1 })
 * const run = simulate({ model, adapter: { rank: 8 }, clients, rounds: 2, local: { steps: 1, batchSize: 2 } })
 * for await (const event of run) if (event.type === 'round') console.log(event.round, event.loss)
 * const { adapter } = await run
 * ```
 */
export function simulate(options: SimulateOptions): Run<FederationEvent, FederationResult> {
  const { model, adapter, clients, evaluate: evaluation, signal, algorithm, overrides, ...rest } = options
  checkObjects(options)
  const config = parseOptions(federationSchema, rest, 'simulate options')
  if (
    config.outputDir !== undefined &&
    config.resumeFrom !== undefined &&
    resolve(config.outputDir) !== resolve(config.resumeFrom)
  ) {
    throw new FedloraError('E_CONFIG', 'simulate options: resumeFrom continues in its own folder; leave outputDir out')
  }
  const chosen = chooseAlgorithm(algorithm)
  checkCombinations(config, chosen)
  const owned = !(adapter instanceof Adapter)
  const trained = owned ? model.createAdapter(adapter) : adapter
  const request: Request = {
    config,
    chosen,
    overrides,
    model,
    adapter: trained,
    clients,
    evaluation: evaluation && parseOptions(evaluationSchema, evaluation, 'simulate options: evaluate'),
  }
  return new Run(async (context) => {
    const closers = new Closers()
    try {
      return await federate(request, context, closers)
    } catch (error) {
      if (owned) closers.own(trained)
      throw error
    } finally {
      await closers.close()
    }
  }, signal)
}
