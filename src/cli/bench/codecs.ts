/** Rates of the update codecs and of the streaming aggregator, in bytes of float32 input. */
import type { EncodeOptions } from '../../native/binding.js'
import { native } from '../../native/load.js'
import { gigabytesPerSecond, type Measurement, medianSeconds, sampleUpdate } from './measure.js'

const codecs: readonly EncodeOptions[] = [
  { codec: 'f32', density: 1, bits: 8, seed: 1 },
  { codec: 'bf16', density: 1, bits: 8, seed: 1 },
  { codec: 'int8', density: 1, bits: 8, seed: 1 },
  { codec: 'int4', density: 1, bits: 4, seed: 1 },
  { codec: 'topk', density: 1 / 64, bits: 2, seed: 1 },
]
const updateLength = 1 << 20

export async function benchCodecs(): Promise<Measurement[]> {
  const update = sampleUpdate(updateLength)
  const residual = new Float32Array(updateLength)
  const measurements: Measurement[] = []
  for (const options of codecs) {
    const { bytes } = native().encodeUpdate(update, residual, options)
    const encode = await medianSeconds(7, () => native().encodeUpdate(update, residual, options))
    const decode = await medianSeconds(7, () => native().decodeUpdate(bytes))
    measurements.push({
      codec: options.codec,
      bitsPerValue: Number(((8 * bytes.length) / updateLength).toFixed(3)),
      encodeGBs: gigabytesPerSecond(update.byteLength, encode),
      decodeGBs: gigabytesPerSecond(update.byteLength, decode),
    })
  }
  return measurements
}

export async function benchAggregate(): Promise<Measurement[]> {
  const update = sampleUpdate(updateLength)
  const aggregator = native().createAggregator(updateLength)
  try {
    const measurements: Measurement[] = []
    for (const options of codecs) {
      const { bytes } = native().encodeUpdate(update, null, options)
      const seconds = await medianSeconds(7, () => aggregator.add(bytes, 3))
      measurements.push({ codec: options.codec, addGBs: gigabytesPerSecond(update.byteLength, seconds) })
    }
    const mean = await medianSeconds(7, () => aggregator.mean())
    measurements.push({ codec: 'mean', addGBs: gigabytesPerSecond(update.byteLength, mean) })
    return measurements
  } finally {
    aggregator.dispose()
  }
}
