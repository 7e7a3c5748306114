/**
 * The layers and the attention of a shape one by one, beside this machine's peak: what share of it a product reaches with its adapter,
 * what the packed base costs over a bf16 one and what the adapter costs over its own arithmetic.
 */
import { linearModules } from '../../model/config.js'
import type { Compute, KernelReport } from '../../native/binding.js'
import { native } from '../../native/load.js'
import { type Measurement, median, soundSamples } from './measure.js'
import { type ShapeName, shapeConfig } from './shapes.js'

export interface KernelBench {
  shape: ShapeName
  rank: number
  compute: Compute
  threads: number
  /** Rows of a call. */
  rows: readonly number[]
  rounds: number
}

const tolerance = { f32: 1e-5, bf16: 2 ** -7 } as const

const percent = (share: number): number => Number((100 * share).toFixed(1))

/** Median over the rounds of a candidate's flop/s as a share of the peak that its round measured. */
function shareOf(report: KernelReport, threads: number, pass: 'forward' | 'backward', candidate: number): number {
  const flop = report[`${pass}Flop`][candidate]!
  return median(soundSamples(report.rounds, threads).map((round) => flop / round[pass][candidate]! / round.roof))
}

/** Median over the rounds of the time of one candidate over another's, both passes together. */
function timeRatio(report: KernelReport, threads: number, a: number, b: number): number {
  return median(
    soundSamples(report.rounds, threads).map(
      ({ forward, backward }) => (forward[a]! + backward[a]!) / (forward[b]! + backward[b]!),
    ),
  )
}

/** Distinct [K, N] of a block's linear layers, named by those that have it. */
function layerShapes(shape: ShapeName): { layer: string; K: number; N: number }[] {
  const { description } = shapeConfig(shape)
  const shapes = new Map<string, { layer: string; K: number; N: number }>()
  for (const { module, shape } of linearModules({ ...description, layers: description.layers.slice(0, 1) })) {
    const [N, K] = shape
    const layer = module.slice(module.lastIndexOf('.') + 1).replace(/_proj$/, '')
    const same = shapes.get(`${N} ${K}`)
    shapes.set(`${N} ${K}`, { layer: same === undefined ? layer : `${same.layer}, ${layer}`, K, N })
  }
  return [...shapes.values()]
}

const checked = (report: KernelReport, compute: Compute): string =>
  report.worstError <= tolerance[compute] ? 'yes' : `no: ${report.worstError.toExponential(1)}`

/** One line for each layer and number of rows. */
export function benchLinears(options: KernelBench, onLine: (line: Measurement) => void = () => {}): Measurement[] {
  const { compute, threads, rank, rounds } = options
  const lines: Measurement[] = []
  for (const { layer, K, N } of layerShapes(options.shape))
    for (const M of options.rows) {
      const report = native().benchLoraLinear({
        M,
        K,
        N,
        compute,
        threads,
        rounds,
        candidates: [
          { format: 'nf4', rank },
          { format: 'int8', rank },
          { format: 'bf16', rank },
          { format: 'nf4', rank: 0 },
        ],
      })
      const [plainForward, plainBackward] = [report.forwardFlop[3]!, report.backwardFlop[3]!]
      const arithmetic = (report.forwardFlop[0]! + report.backwardFlop[0]!) / (plainForward + plainBackward)
      const line: Measurement = {
        layer,
        K,
        N,
        M,
        'nf4 forward %': percent(shareOf(report, threads, 'forward', 0)),
        'backward %': percent(shareOf(report, threads, 'backward', 0)),
        'int8 forward %': percent(shareOf(report, threads, 'forward', 1)),
        'bf16 forward %': percent(shareOf(report, threads, 'forward', 2)),
        'nf4 over bf16 %': percent(timeRatio(report, threads, 0, 2) - 1),
        'adapter over its flop %': percent(timeRatio(report, threads, 0, 3) - arithmetic),
        checked: checked(report, compute),
      }
      onLine(line)
      lines.push(line)
    }
  return lines
}

/** Attention of the shape's heads over rows of several lengths; the last line with a window. */
export function benchAttention(options: KernelBench): Measurement[] {
  const { heads, kvHeads, headDim } = shapeConfig(options.shape).description
  const { compute, threads, rounds } = options
  const cases = [
    { sequences: 16, length: 128, window: 0 },
    { sequences: 1, length: 512, window: 0 },
    { sequences: 4, length: 512, window: 0 },
    { sequences: 1, length: 2048, window: 0 },
    { sequences: 1, length: 2048, window: 512 },
  ]
  return cases.map((one) => {
    const report = native().benchAttention({ ...one, heads, kvHeads, headDim, compute, threads, rounds })
    const milliseconds = (pass: 'forward' | 'backward') =>
      Number((1000 * median(soundSamples(report.rounds, threads).map((round) => round[pass][0]!))).toPrecision(3))
    return {
      rows: one.sequences,
      tokens: one.length,
      window: one.window,
      'forward ms': milliseconds('forward'),
      'backward ms': milliseconds('backward'),
      'forward %': percent(shareOf(report, threads, 'forward', 0)),
      'backward %': percent(shareOf(report, threads, 'backward', 0)),
      checked: checked(report, compute),
    }
  })
}
