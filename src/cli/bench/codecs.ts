/** Rates of the update codecs, with error feedback in place, in bytes of the float32 vector. */
import { FedloraError } from '../../errors.js'
import type { EncodeOptions } from '../../native/binding.js'
import { native } from '../../native/load.js'
import { besideReading, inGigabytes, inPercent, type Measurement, sampleUpdate } from './measure.js'

export const benchedCodecs: readonly EncodeOptions[] = [
  { codec: 'f32', density: 1, bits: 8, seed: 1 },
  { codec: 'bf16', density: 1, bits: 8, seed: 1 },
  { codec: 'int8', density: 1, bits: 8, seed: 1 },
  { codec: 'int4', density: 1, bits: 4, seed: 1 },
  { codec: 'topk', density: 1 / 64, bits: 2, seed: 1 },
  { codec: 'sign', density: 1, bits: 2, seed: 1 },
  { codec: 'randk', density: 1 / 64, bits: 4, seed: 1 },
  { codec: 'blocks', density: 1 / 64, bits: 4, seed: 1 },
]

/** Tensors of a lora_B of rank 16, and one row of what is left. */
function layoutOf(parameters: number): Float64Array {
  const rows = Math.floor(parameters / 16 / 1024)
  const rest = parameters - rows * 16 * 1024
  const tensors = Array.from({ length: rows }, () => [1024, 16, 1])
  return Float64Array.from([...tensors, ...(rest > 0 ? [[1, rest, 1]] : [])].flat())
}

export interface VectorBench {
  /** Length of an update. */
  parameters: number
  /** Each is measured with one thread and with so many. */
  threads: number
}

/** Throws when what was sent and what is left do not make up what there was, to one unit in the last place. */
function checkLaw(codec: string, update: Float32Array, before: Float32Array, bytes: Uint8Array, after: Float32Array) {
  const sent = native().decodeUpdate(bytes)
  for (let i = 0; i < update.length; i++) {
    const target = Math.fround(update[i]! + before[i]!)
    const largest = Math.max(Math.abs(target), Math.abs(sent[i]!), Math.abs(after[i]!))
    if (!(Math.abs(sent[i]! + after[i]! - target) <= largest * 2 ** -23)) {
      throw new FedloraError(
        'E_INTERNAL',
        `bench codecs: ${codec} sends ${sent[i]} of ${target} at ${i} and keeps ${after[i]}`,
      )
    }
  }
}

export function benchCodecs({ parameters, threads: most }: VectorBench): Measurement[] {
  const update = sampleUpdate(parameters)
  const measurements: Measurement[] = []
  const lowRank: EncodeOptions = {
    codec: 'lowrank',
    density: 1,
    bits: 2,
    seed: 1,
    rank: 2,
    layout: layoutOf(parameters),
  }
  for (const codec of [...benchedCodecs, lowRank]) {
    const before = sampleUpdate(parameters, 2)
    const { bytes, residual } = native().encodeUpdate(update, before, codec)
    checkLaw(codec.codec, update, before, bytes, residual!)
    for (const threads of new Set([1, most])) {
      const options = { ...codec, threads, inPlace: true }
      const encode = besideReading(threads, 7, update.byteLength, () =>
        native().encodeUpdate(update, residual, options),
      )
      const decode = besideReading(threads, 7, update.byteLength, () => native().decodeUpdate(bytes, threads, before))
      measurements.push({
        codec: codec.codec,
        threads,
        bitsPerValue: Number(((8 * bytes.length) / parameters).toFixed(3)),
        encodeGBs: inGigabytes(encode.rate),
        'encode %': inPercent(encode.share),
        decodeGBs: inGigabytes(decode.rate),
        'decode %': inPercent(decode.share),
        readGBs: inGigabytes(encode.roof),
      })
    }
  }
  return measurements
}
