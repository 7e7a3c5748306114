/** `fedlora bench`: speed of a training step, of loading, of the update codecs and of aggregation on this machine. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Random } from '../../data/random.js'
import type { EncodeOptions } from '../../native/binding.js'
import { native } from '../../native/load.js'
import type { Command, Context } from '../command.js'
import { baseModelFolder } from '../demo/assets.js'
import { formatTable } from '../output.js'

type Measurement = Record<string, string | number>

/** The median of `repeat` timings of `work`, in seconds; one more runs first and is not counted. */
async function medianSeconds(repeat: number, work: () => unknown): Promise<number> {
  await work()
  const seconds: number[] = []
  for (let i = 0; i < repeat; i++) {
    const start = performance.now()
    await work()
    seconds.push((performance.now() - start) / 1000)
  }
  return seconds.sort((a, b) => a - b)[repeat >> 1]!
}

function gigabytesPerSecond(bytes: number, seconds: number): number {
  return Number((bytes / seconds / 1e9).toPrecision(4))
}

/** An update-like vector: normal values of mixed scale. */
function sampleUpdate(length: number): Float32Array {
  const random = new Random(1, 64)
  return Float32Array.from({ length }, (_, i) => random.normal() * 1e-3 * (1 + (i % 7)))
}

const codecs: readonly EncodeOptions[] = [
  { codec: 'f32', density: 1, bits: 8, seed: 1 },
  { codec: 'bf16', density: 1, bits: 8, seed: 1 },
  { codec: 'int8', density: 1, bits: 8, seed: 1 },
  { codec: 'int4', density: 1, bits: 4, seed: 1 },
  { codec: 'topk', density: 1 / 16, bits: 4, seed: 1 },
]
const updateLength = 1 << 20

async function benchCodecs(): Promise<Measurement[]> {
  const update = sampleUpdate(updateLength)
  const measurements: Measurement[] = []
  for (const options of codecs) {
    const { bytes } = native().encodeUpdate(update, null, options)
    const encode = await medianSeconds(7, () => native().encodeUpdate(update, null, options))
    const decode = await medianSeconds(7, () => native().decodeUpdate(bytes))
    measurements.push({
      codec: options.codec,
      ratio: Number((update.byteLength / bytes.length).toFixed(2)),
      encodeGBs: gigabytesPerSecond(update.byteLength, encode),
      decodeGBs: gigabytesPerSecond(update.byteLength, decode),
    })
  }
  return measurements
}

async function benchAggregate(): Promise<Measurement[]> {
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

async function benchLoad(folder: string): Promise<Measurement[]> {
  const { loadModel } = await import('../../model/load.js')
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

async function benchStep(folder: string, signal: AbortSignal): Promise<Measurement[]> {
  const { loadModel } = await import('../../model/load.js')
  const { loadDataset } = await import('../../data/dataset.js')
  const { train } = await import('../../training/train.js')
  const measurements: Measurement[] = []
  for (const compute of ['f32', 'bf16'] as const) {
    using model = await loadModel(folder, { quantization: 'nf4', compute })
    using adapter = model.createAdapter({ rank: 16, alpha: 32 })
    const random = new Random(2, 64)
    const length = Math.min(256, model.config.maxPositions)
    const rows = Array.from({ length: 8 }, () => {
      const ids = Array.from({ length }, () => random.below(model.config.vocabulary))
      return { input_ids: ids, labels: ids }
    })
    const data = await loadDataset(rows, { format: 'tokens', maxLength: length })
    const speeds: number[] = []
    const run = train(adapter, data, { maxSteps: 8, batchSize: 8, learningRate: 1e-4, signal })
    for await (const event of run) if (event.type === 'step' && event.step > 2) speeds.push(event.tokensPerSecond)
    await run
    speeds.sort((a, b) => a - b)
    measurements.push({ compute, tokens: 8 * length, tokensPerSecond: Math.round(speeds[speeds.length >> 1]!) })
  }
  return measurements
}

const benches = {
  step: (folder: string, context: Context) => benchStep(folder, context.signal),
  codecs: benchCodecs,
  aggregate: benchAggregate,
  load: benchLoad,
} satisfies Record<string, (folder: string, context: Context) => Promise<Measurement[]>>

export const bench: Command = {
  name: 'bench',
  word: {
    name: 'bench',
    description: 'what to measure; all of them when none is named',
    choices: Object.keys(benches),
  },
  flags: {
    model: {
      type: 'string',
      value: 'DIR',
      description: 'model folder for step and load (default: the one of the demo)',
    },
  },
  async run(context) {
    const { flags, output } = context
    const folder = (flags.model as string | undefined) ?? baseModelFolder
    const names = (flags.bench === undefined ? Object.keys(benches) : [flags.bench]) as (keyof typeof benches)[]
    const info = native().info()
    output.text(`${info.cpu.trim()} · ${info.isa} · ${info.cores} threads`)
    const result: Record<string, Measurement[]> = {}
    for (const name of names) {
      const measurements = await benches[name](folder, context)
      result[name] = measurements
      for (const measurement of measurements) output.event({ type: 'measurement', bench: name, ...measurement })
      const heads = Object.keys(measurements[0]!)
      output.text(`\n${name}`)
      output.text(formatTable([heads, ...measurements.map((one) => heads.map((head) => String(one[head])))]))
    }
    return { cpu: info.cpu, isa: info.isa, threads: info.cores, ...result }
  },
}
