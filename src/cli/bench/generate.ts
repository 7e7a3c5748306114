/** How fast one row is decoded: every weight is read once a token, so the machine's read bandwidth is the roof. */
import { native } from '../../native/load.js'
import { type Measurement, median } from './measure.js'
import { type ShapeName, shapeConfig } from './shapes.js'

export interface GenerateBench {
  shape: ShapeName
  quantization: 'none' | 'int8' | 'nf4'
  compute: 'f32' | 'bf16'
  threads: number
  /** Tokens of a round. */
  tokens: number
  rounds: number
}

/** Greedy decoding of one row, in rounds that each measure the memory first. */
export async function benchGenerate(options: GenerateBench): Promise<Measurement[]> {
  const { description } = shapeConfig(options.shape)
  const { quantization, compute, threads, tokens, rounds } = options
  const model = await native().randomModel(
    { files: [], description, quantization, doubleQuantization: false, blockSize: 64, compute, threads },
    1,
  )
  try {
    const generation = model.generate(null, {
      ids: Int32Array.from({ length: 16 }, (_, i) => i + 3),
      maxTokens: tokens * rounds + 8,
      temperature: 0,
      topK: 0,
      topP: 1,
      seed: 0,
      endIds: new Int32Array(),
    })
    await generation.next(8)
    const { embedding, head, total } = model.memory
    const bytesPerToken = total - (head === 0 ? 0 : embedding)
    const rates: number[] = []
    const shares: number[] = []
    for (let round = 0; round < rounds; round++) {
      const bandwidth = native().measureReadBandwidth(threads, 0.1)
      const start = performance.now()
      const { ids } = await generation.next(tokens)
      rates.push((ids.length * 1000) / (performance.now() - start))
      shares.push((rates[round]! * bytesPerToken) / bandwidth)
    }
    generation.dispose()
    const rate = median(rates)
    return [
      {
        shape: options.shape,
        quantization,
        tokensPerSecond: Number(rate.toPrecision(4)),
        weightGBs: Number(((rate * bytesPerToken) / 1e9).toPrecision(4)),
        'of read bandwidth %': Number((100 * median(shares)).toFixed(1)),
      },
    ]
  } finally {
    model.dispose()
  }
}
