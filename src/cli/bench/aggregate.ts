/**
 * Rates of the exact streaming mean: messages added one by one and thirty-two at a time, in bytes of the messages and of the float32
 * vectors that they stand for, beside the machine's reading; then the federated average of 64 float32 updates.
 */
import { FedloraError } from '../../errors.js'
import { native } from '../../native/load.js'
import { benchedCodecs, type VectorBench } from './codecs.js'
import { type BesideReading, besideReading, inGigabytes, inPercent, type Measurement, sampleUpdate } from './measure.js'

const together = 32
const clients = 64

/** Throws when the mean is not that of a sum in double precision, to one unit in the last place. */
function checkMean(
  what: string,
  messages: readonly Uint8Array[],
  weights: readonly number[],
  mean: Float32Array,
): void {
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  const sums = new Float64Array(mean.length)
  const sizes = new Float64Array(mean.length)
  for (const [k, bytes] of messages.entries()) {
    const values = native().decodeUpdate(bytes)
    const weight = weights[k]! / total
    for (let i = 0; i < values.length; i++) {
      sums[i]! += weight * values[i]!
      sizes[i]! += Math.abs(weight * values[i]!)
    }
  }
  for (let i = 0; i < mean.length; i++) {
    if (!(Math.abs(mean[i]! - sums[i]!) <= Math.abs(sums[i]!) * 2 ** -23 + sizes[i]! * 1e-14)) {
      throw new FedloraError(
        'E_INTERNAL',
        `bench aggregate: ${what}: the mean is ${mean[i]} at ${i}, expected ${sums[i]}`,
      )
    }
  }
}

interface Line {
  what: string
  threads: number
  payload: number
  values: number
  entries?: number
  one?: BesideReading
  batch: BesideReading
  extraMiB?: number
}

/** `payload`, `values`: bytes that the batch's samples count, and bytes of float32 that they stand for. */
function line({ what, threads, payload, values, entries, one, batch, extraMiB }: Line): Measurement {
  return {
    what,
    threads,
    oneByOneGBs: one ? inGigabytes(one.rate) : '-',
    togetherGBs: inGigabytes(batch.rate),
    'together %': inPercent(batch.share),
    f32GBs: inGigabytes((batch.rate * values) / payload),
    entriesMs: entries === undefined ? '-' : Math.round((batch.rate * entries) / payload / 1e6),
    readGBs: inGigabytes(batch.roof),
    extraMiB: extraMiB ?? '-',
  }
}

export function benchAggregate({ parameters, threads: most }: VectorBench): Measurement[] {
  const lines: Measurement[] = []
  const weights = Array.from({ length: together }, (_, k) => 100 + 37 * k)
  const update = sampleUpdate(parameters)
  for (const codec of benchedCodecs) {
    const different = [1, 2, 3, 4].map((seed) => {
      const values = sampleUpdate(parameters, seed)
      return native().encodeUpdate(values, null, { ...codec, seed }).bytes
    })
    // A place in memory for each, or the messages would be read from the cache.
    const messages = weights.map((_, k) => (k < 4 ? different[k]! : different[k % 4]!.slice()))
    const payload = messages.reduce((sum, bytes) => sum + bytes.length, 0)
    const entries = codec.codec === 'topk' ? together * Math.max(1, Math.round(codec.density * parameters)) : undefined
    for (const threads of new Set([1, most])) {
      const sum = native().createAggregator(parameters, threads)
      sum.addAll(messages, weights)
      checkMean(codec.codec, messages, weights, sum.mean())
      const one = besideReading(threads, 5, payload, () => {
        for (const [k, bytes] of messages.entries()) sum.add(bytes, weights[k]!)
      })
      const batch = besideReading(threads, 7, payload, () => sum.addAll(messages, weights))
      lines.push(
        line({ what: codec.codec, threads, payload, values: together * update.byteLength, entries, one, batch }),
      )
      sum.dispose()
    }
  }
  for (const threads of new Set([1, most])) lines.push(benchMean(update, threads), benchFedAvg(parameters, threads))
  return lines
}

function benchMean(update: Float32Array, threads: number): Measurement {
  const sum = native().createAggregator(update.length, threads)
  sum.add(native().encodeUpdate(update, null, benchedCodecs[0]!).bytes, 3)
  const mean = sum.mean()
  const batch = besideReading(threads, 7, update.byteLength, () => sum.mean(mean))
  sum.dispose()
  return line({ what: 'read the mean', threads, payload: update.byteLength, values: update.byteLength, batch })
}

/** A round of 64 clients whose updates arrive eight at a time: reset, add, read the mean. */
function benchFedAvg(parameters: number, threads: number): Measurement {
  const plain = benchedCodecs[0]!
  const arrived = Array.from(
    { length: together },
    (_, k) => native().encodeUpdate(sampleUpdate(parameters, k), null, plain).bytes,
  )
  const weights = arrived.map((_, k) => 100 + 37 * k)
  const before = native().processMemory().residentBytes
  const sum = native().createAggregator(parameters, threads)
  const mean = new Float32Array(parameters)
  const round = () => {
    sum.reset()
    for (let k = 0; k < clients; k += 8) {
      const first = k % together
      sum.addAll(arrived.slice(first, first + 8), weights.slice(first, first + 8))
    }
    return sum.mean(mean)
  }
  round()
  const extraMiB = Math.round((native().processMemory().residentBytes - before) / 2 ** 20)
  checkMean('fedavg', arrived, weights, round())
  const values = clients * 4 * parameters
  const batch = besideReading(threads, 3, values, round)
  sum.dispose()
  return line({ what: `fedavg of ${clients} f32`, threads, payload: values, values, batch, extraMiB })
}
