/**
 * Rates of secure aggregation's arithmetic, in bytes of the masked words: a mask added, words added up, and in bytes of float32 the quantisation and
 * the mean read back. One mask a neighbour and one of its own is what a client adds.
 */
import { FedloraError } from '../../errors.js'
import type { MaskingGrid } from '../../native/binding.js'
import { native } from '../../native/load.js'
import type { VectorBench } from './codecs.js'
import { gigabytesPerSecond, type Measurement, medianSeconds, sampleUpdate } from './measure.js'

const masks = 8

export async function benchMasking({ parameters, threads: most }: VectorBench): Promise<Measurement[]> {
  const engine = native()
  const values = sampleUpdate(parameters)
  const mean = new Float32Array(parameters)
  const keys = Uint8Array.from({ length: 32 * masks }, (_, i) => (i * 167 + (i >> 5)) & 255)
  const none = new Uint8Array()
  const lines: Measurement[] = []
  for (const [wordBytes, bits] of [
    [2, 8],
    [4, 16],
  ] as const) {
    const grid: MaskingGrid = { clip: 0.05, bits, wordBytes }
    const words = new Uint8Array(wordBytes * parameters)
    const quantize = () => engine.quantizeWeighted(values, words, { ...grid, weight: 7, seed: 1, stream: 1 })
    for (const threads of new Set([1, most])) {
      const seconds = {
        quantize: await medianSeconds(5, quantize),
        mask: await medianSeconds(5, () => engine.addMasks(words, wordBytes, keys, none, threads)),
        unmask: await medianSeconds(5, () => engine.addMasks(words, wordBytes, none, keys, threads)),
        add: await medianSeconds(5, () => engine.addWords(words.slice(), wordBytes, words)),
        mean: await medianSeconds(5, () => engine.dequantizeMean(words, mean, { ...grid, total: 7 })),
      }
      checkMean(values, mean, grid)
      const rate = (what: keyof typeof seconds, bytes: number) => gigabytesPerSecond(bytes, seconds[what])
      lines.push({
        threads,
        words: `${8 * wordBytes} bit`,
        maskGBs: rate('mask', masks * words.length),
        unmaskGBs: rate('unmask', masks * words.length),
        addGBs: rate('add', words.length),
        quantizeGBs: rate('quantize', values.byteLength),
        meanGBs: rate('mean', values.byteLength),
      })
    }
  }
  return lines
}

/** Throws when masks that were added and taken away again left anything but what was quantised, to a step of the grid. */
function checkMean(values: Float32Array, mean: Float32Array, { clip, bits }: MaskingGrid): void {
  const step = (2 * clip) / (2 ** bits - 1)
  for (const [i, value] of values.entries()) {
    const expected = Math.min(Math.max(value, -clip), clip)
    if (!(Math.abs(mean[i]! - expected) <= step * (1 + 1e-6))) {
      const message = `bench masking: the mean is ${mean[i]} at ${i}, expected ${expected} to ${step}`
      throw new FedloraError('E_INTERNAL', message)
    }
  }
}
