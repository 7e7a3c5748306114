/**
 * One LoRA training step over random weights of a published shape: tokens/s, share of the machine's peak, memory against plan.
 * The peak is measured just before every step, because it drifts. flop per token = 4·N + 7·T·heads·headDim·layers + 6·P with N the
 * matrix parameters (head included), T the row length (of ragged rows Σ length² / Σ length) and P the adapter's
 * parameters; nothing is deducted for what is not computed.
 */

import { notSupervised } from '../../data/ids/labels.js'
import type {
  AdapterLayer,
  Compute,
  NativeModel,
  ProfileEntry,
  Quantization,
  Recompute,
  StepResult,
  TokenBatch,
} from '../../native/binding.js'
import { native } from '../../native/load.js'
import { adamw } from '../../training/optimizer.js'
import { measureRoofs, median, type Roof, soundSamples } from './measure.js'
import { type ShapeName, shapeConfig } from './shapes.js'

export interface StepBench {
  shape: ShapeName
  /** Tokens of a row. */
  tokens: number
  /** Rows of a step. */
  batch: number
  /** Rows of different lengths, from a quarter of `tokens` up to it. */
  ragged: boolean
  rank: number
  quantization: Quantization
  compute: Compute
  threads: number
  steps: number
  /** Share of the tokens that are supervised. */
  supervised: number
  recompute: Recompute
}

export interface StepReport extends Record<string, unknown> {
  tokensPerSecond: { median: number; best: number }
  flopsPerToken: number
  roofGflops: number
  shareOfRoof: number
  /** Steps that were not counted because the machine's cores were not all there. */
  droppedSteps: number
  peakRssMiB: number
  /** The plan of weights and step, and what the process held before. */
  planMiB: number
  /** Of the last step: equal bits for every number of threads. */
  loss: number
  gradNorm: number
  isa: string
  profile: ProfileEntry[]
}

const roofSeconds = 0.05

/** Lengths of the rows: `tokens` each, or spread evenly from a quarter of it up and shuffled by a fixed stride. */
function rowLengths({ tokens, batch, ragged }: StepBench): Int32Array {
  if (!ragged) return new Int32Array(batch).fill(tokens)
  const least = Math.max(2, Math.round(tokens / 4))
  return Int32Array.from({ length: batch }, (_, row) =>
    Math.round(least + ((tokens - least) * ((row * 7) % batch)) / Math.max(1, batch - 1)),
  )
}

export function makeBatch(options: StepBench, vocabulary: number): TokenBatch {
  const lengths = rowLengths(options)
  const ids = Int32Array.from(
    { length: lengths.reduce((sum, length) => sum + length, 0) },
    (_, i) => (i * 7919 + 13) % vocabulary,
  )
  const labels = ids.slice()
  let at = 0
  for (const length of lengths) {
    labels.fill(notSupervised, at, at + Math.round(length * (1 - options.supervised)))
    at += length
  }
  return { ids, labels, lengths }
}

function flopsPerToken(
  model: NativeModel,
  options: StepBench,
  { ids, lengths }: TokenBatch,
  adapterLength: number,
): number {
  const rowLength = lengths.reduce((sum, length) => sum + length * length, 0) / ids.length
  const { description } = shapeConfig(options.shape)
  const { vocabulary, hidden, heads, headDim, layers } = description
  const matrices = model
    .linears()
    .reduce((sum, { shape: [rows, columns] }) => sum + rows * columns, vocabulary * hidden)
  return 4 * matrices + 7 * rowLength * heads * headDim * layers.length + 6 * adapterLength
}

/** What was added to a profile: the first step, which touches all memory for the first time, is left out. */
function since(before: readonly ProfileEntry[], after: readonly ProfileEntry[]): ProfileEntry[] {
  return after.map(({ op, calls, seconds }) => {
    const old = before.find((entry) => entry.op === op)
    return { op, calls: calls - (old?.calls ?? 0), seconds: seconds - (old?.seconds ?? 0) }
  })
}

/** Runs one step that is not counted and `steps` that are. `onStep` hears tokens/s and the share of the peak of each. */
export async function benchStep(
  options: StepBench,
  onStep: (tokensPerSecond: number, share: number) => void = () => {},
): Promise<StepReport> {
  const { description } = shapeConfig(options.shape)
  const { quantization, compute, threads, recompute } = options
  const load = {
    files: [],
    description,
    doubleQuantization: false,
    blockSize: 64 as const,
    quantization,
    compute,
    threads,
  }
  const runtime = native().processMemory().residentBytes
  const model = await native().randomModel(load, 1)
  try {
    const layers: AdapterLayer[] = model
      .linears()
      .map(({ module }) => ({ module, rank: options.rank, scaling: 2, dropout: 0 }))
    const adapter = model.createAdapter(layers, 7)
    const session = adapter.createSession({
      optimizer: adamw,
      maxGradNorm: 1,
      dropoutSeed: 0,
      recompute,
    })
    const batch = makeBatch(options, description.vocabulary)
    const tokens = batch.ids.length
    const flops = flopsPerToken(model, options, batch, adapter.length)
    let before: ProfileEntry[] = []
    let last: StepResult | undefined
    const samples: (Roof & { rate: number; share: number })[] = []
    for (let step = 0; step <= options.steps; step++) {
      const roofs = measureRoofs(compute, threads, roofSeconds)
      const start = performance.now()
      last = await session.step([batch], 1e-4)
      const rate = (tokens * 1000) / (performance.now() - start)
      if (step === 0) {
        before = model.profile()
        continue
      }
      const share = (rate * flops) / roofs.roof
      samples.push({ ...roofs, rate, share })
      onStep(rate, share)
    }
    const sound = soundSamples(samples, threads)
    const rates = sound.map(({ rate }) => rate)
    const supervised = batch.labels.reduce((sum, label) => sum + (label === notSupervised ? 0 : 1), 0)
    const plan = model.plan({
      tokens,
      rows: options.batch,
      longestRow: options.tokens,
      supervised,
      recompute,
      optimizer: 'adamw',
      layers,
    })
    return {
      ...options,
      tokensPerSecond: { median: median(rates), best: Math.max(...rates) },
      flopsPerToken: flops,
      roofGflops: median(sound.map(({ roof }) => roof)) / 1e9,
      shareOfRoof: median(sound.map(({ share }) => share)),
      droppedSteps: samples.length - sound.length,
      peakRssMiB: native().processMemory().peakBytes / 2 ** 20,
      planMiB: (runtime + plan.total) / 2 ** 20,
      loss: last!.loss,
      gradNorm: last!.gradNorm,
      isa: native().info().isa,
      profile: since(before, model.profile()).sort((a, b) => b.seconds - a.seconds),
    }
  } finally {
    model.dispose()
  }
}
