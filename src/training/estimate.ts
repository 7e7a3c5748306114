/** The memory plan of a training run, without loading anything. */
import { z } from 'zod'
import { findModel } from '../files/model-source.js'
import { adapterLayers, adapterOptionsSchema, matchTargets } from '../model/adapter-options.js'
import { linearModules } from '../model/config.js'
import { availableCores, baseFormatShape, checkBaseFormat, deviceSchema } from '../model/model-options.js'
import { readModelConfig } from '../model/read-config.js'
import { packedWeights } from '../model/stored-quantization.js'
import { weightFiles } from '../model/weight-files.js'
import type { LoadOptions, MemoryPlan, Recompute } from '../native/binding.js'
import { deviceMemory, onDevice } from '../native/device.js'
import { native } from '../native/load.js'
import { parseOptions } from '../options/parse.js'
import { passTokens, recomputeLevels } from './memory.js'

export const estimateOptionsSchema = z.strictObject({
  model: z.string().min(1).describe('model folder, or id in the Hugging Face cache'),
  ...baseFormatShape,
  device: deviceSchema,
  adapter: adapterOptionsSchema.prefault({}),
  batchSize: z.int().min(1).default(1).describe('rows of a micro-batch'),
  maxLength: z.int().min(1).default(512).describe('tokens of its longest row'),
  optimizer: z.enum(['adamw', 'sgd']).default('adamw').describe('decides how many moments are kept'),
  recompute: z.enum(['none', 'gate-up', 'all']).default('none').describe('what is computed again in the backward pass'),
  privateRows: z.boolean().default(false).describe('steps with privacy: a gradient for every row of a micro-batch'),
  concurrency: z.int().min(1).default(1).describe('adapters in training at the same time, as in simulate'),
  threads: z.int().min(1).max(1024).optional().describe('worker threads; default: the cores available to this process'),
})

/** Options of `estimate`. Defaults as `loadModel` and `train` have them; `batchSize` 1, `maxLength` 512, `concurrency` 1. */
export type EstimateOptions = z.input<typeof estimateOptionsSchema>

/** Bytes by part of a training step, for the recomputation asked for; `alternatives` holds the totals of all three. */
export interface Estimate extends MemoryPlan {
  recompute: Recompute
  alternatives: Record<Recompute, number>
  /** Trainable values. */
  trainable: number
  /** Memory of the device that it is for; null for the CPU. */
  deviceMemory: { totalBytes: number; freeBytes: number } | null
  /** Resident bytes of this process as it is: what Node.js itself takes comes on top of `total`. */
  process: number
}

/**
 * Plans the memory of a training step with full micro-batches: `batchSize` rows of `maxLength` tokens, all supervised. With
 * `concurrency`, of so many adapters, whose micro-batches share passes as `simulate` has it: up to 1,024 tokens in one.
 * Only the headers of the weight files are read.
 * @throws FedloraError `E_CONFIG`, `E_MISSING`, `E_UNSUPPORTED`, `E_FORMAT`.
 */
export async function estimate(options: EstimateOptions): Promise<Estimate> {
  const parsed = parseOptions(estimateOptionsSchema, options, 'estimate options')
  checkBaseFormat(parsed, 'estimate options')
  const { folder, file } = await findModel(parsed.model)
  const config = await readModelConfig(parsed.model)
  const linears = linearModules(config.description)
  const targets = matchTargets(
    parsed.adapter.targetModules,
    linears.map(({ module }) => module),
    config.description.names.head,
  )
  const layers = adapterLayers(parsed.adapter, targets)
  const load: LoadOptions = {
    files: await weightFiles(folder, file),
    description: config.description,
    ...(config.stored && { stored: config.stored }),
    ...packedWeights(config),
    quantization: parsed.quantization,
    doubleQuantization: parsed.doubleQuantization,
    blockSize: parsed.blockSize,
    compute: parsed.compute,
    threads: parsed.threads ?? availableCores(),
    ...onDevice(parsed.device),
  }
  const own = parsed.batchSize * parsed.maxLength
  const tokens = Math.max(own, Math.min(parsed.concurrency * own, passTokens))
  const plan = (recompute: Recompute): MemoryPlan =>
    native().planModel(load, {
      tokens,
      rows: Math.ceil(tokens / parsed.maxLength),
      longestRow: parsed.maxLength,
      supervised: tokens,
      recompute,
      optimizer: parsed.optimizer,
      adapters: parsed.concurrency,
      ...(parsed.privateRows && { examples: parsed.batchSize }),
      layers,
    })
  const shapes = new Map(linears.map(({ module, shape }) => [module, shape]))
  const trainable = layers.reduce((sum, { module, rank }) => {
    const [rows, columns] = shapes.get(module)!
    return sum + rank * (rows + columns)
  }, 0)
  const totals = recomputeLevels.map((recompute) => [recompute, plan(recompute).total] as const)
  return {
    ...plan(parsed.recompute),
    recompute: parsed.recompute,
    alternatives: Object.fromEntries(totals) as Record<Recompute, number>,
    trainable,
    deviceMemory: deviceMemory(parsed.device),
    process: native().processMemory().residentBytes,
  }
}
