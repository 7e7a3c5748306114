/** How long a short generation takes while a step trains the same model, beside what it takes on an idle one. */

import type { NativeModel } from '../../native/binding.js'
import { native } from '../../native/load.js'
import { adamw } from '../../training/optimizer.js'
import type { GenerateBench } from './generate.js'
import { type Measurement, median } from './measure.js'
import { type ShapeName, shapeConfig } from './shapes.js'
import { makeBatch } from './step.js'

export interface WhileTrainingBench extends Omit<GenerateBench, 'tokens'> {
  shape: ShapeName
  /** Tokens of a micro-batch. */
  tokens: number
  rank: number
}

/** Tokens of a generation, and of each of its calls, as `model.generate` makes them. */
const generated = 64
const piece = 4

/** Milliseconds of one greedy generation of `generated` tokens after a prompt of 16. */
async function generate(model: NativeModel): Promise<number> {
  const start = performance.now()
  const generation = model.generate(null, {
    ids: Int32Array.from({ length: 16 }, (_, i) => i + 3),
    maxTokens: generated,
    temperature: 0,
    topK: 0,
    topP: 1,
    seed: 0,
    endIds: new Int32Array(),
  })
  for (let done = false; !done; ) done = (await generation.next(piece)).done
  generation.dispose()
  return performance.now() - start
}

/** Medians over `rounds`; the bound is three times the idle generation and one micro-batch. */
export async function benchWhileTraining(options: WhileTrainingBench): Promise<Measurement> {
  const { description } = shapeConfig(options.shape)
  const { quantization, compute, threads, rank, rounds } = options
  const load = { files: [], description, quantization, doubleQuantization: false, blockSize: 64 as const }
  const model = await native().randomModel({ ...load, compute, threads }, 1)
  try {
    const layers = model.linears().map(({ module }) => ({ module, rank, scaling: 2, dropout: 0 }))
    const session = model.createAdapter(layers, 7).createSession({
      optimizer: adamw,
      maxGradNorm: 1,
      dropoutSeed: 0,
      recompute: 'none',
    })
    const shape = { ...options, steps: 1, supervised: 1, ragged: false, batch: 1, recompute: 'none' as const }
    const batch = makeBatch(shape, description.vocabulary)
    const [microBatch, idle, meanwhile]: [number[], number[], number[]] = [[], [], []]
    await session.step([batch], 1e-4)
    for (let round = 0; round < rounds; round++) {
      idle.push(await generate(model))
      const start = performance.now()
      await session.step([batch], 1e-4)
      microBatch.push(performance.now() - start)
      const step = session.step([batch, batch, batch, batch], 1e-4)
      meanwhile.push(await generate(model))
      await step
    }
    const bound = 3 * median(idle) + median(microBatch)
    return {
      shape: options.shape,
      quantization,
      'micro-batch ms': Math.round(median(microBatch)),
      'idle ms': Math.round(median(idle)),
      'while training ms': Math.round(median(meanwhile)),
      'bound ms': Math.round(bound),
    }
  } finally {
    model.dispose()
  }
}
