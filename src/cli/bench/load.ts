/** How fast a checkpoint becomes packed weights, in bytes of its file, and how fast a row is decoded. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { loadModel } from '../../model/load.js'
import { native } from '../../native/load.js'
import { gigabytesPerSecond, type Measurement, medianSeconds } from './measure.js'
import { type ShapeName, shapeConfig } from './shapes.js'

export async function benchLoad(folder: string): Promise<Measurement[]> {
  const { size } = await stat(join(folder, 'model.safetensors'))
  const measurements: Measurement[] = []
  for (const quantization of ['none', 'bf16', 'int8', 'nf4', 'fp4'] as const) {
    let bytes = 0
    const seconds = await medianSeconds(3, async () => {
      const model = await loadModel(folder, { quantization })
      bytes = model.memory.total
      model.dispose()
    })
    measurements.push({
      quantization,
      seconds: Number(seconds.toPrecision(4)),
      readGBs: gigabytesPerSecond(size, seconds),
      bytes,
    })
  }
  return measurements
}

export interface GenerateBench {
  shape: ShapeName
  quantization: 'none' | 'int8' | 'nf4'
  compute: 'f32' | 'bf16'
  threads: number
  tokens: number
}

/** Greedy decoding of one row: tokens/s, and weight bytes read a second (every weight is read once a token). */
export async function benchGenerate(options: GenerateBench): Promise<Measurement[]> {
  const { description } = shapeConfig(options.shape)
  const { quantization, compute, threads } = options
  const model = await native().randomModel(
    { files: [], description, quantization, doubleQuantization: false, blockSize: 64, compute, threads },
    1,
  )
  try {
    const generation = model.generate(null, {
      ids: Int32Array.from({ length: 16 }, (_, i) => i + 3),
      maxTokens: options.tokens + 8,
      temperature: 0,
      topK: 0,
      topP: 1,
      seed: 0,
      endIds: new Int32Array(),
    })
    await generation.next(8)
    const start = performance.now()
    const { ids } = await generation.next(options.tokens)
    const seconds = (performance.now() - start) / 1000
    generation.dispose()
    const { embedding, head, total } = model.memory
    const bytesPerToken = total - (head === 0 ? 0 : embedding)
    return [
      {
        shape: options.shape,
        quantization,
        tokensPerSecond: Number((ids.length / seconds).toPrecision(4)),
        weightGBs: gigabytesPerSecond(bytesPerToken * ids.length, seconds),
      },
    ]
  } finally {
    model.dispose()
  }
}
