/** `fedlora bench`: the machine's peak, and the speed of a training step, generation, loading, codecs and aggregation beside it. */
import { native } from '../../native/load.js'
import type { Flags, FlagValues } from '../arguments.js'
import { benchAdapters } from '../bench/adapters.js'
import { benchAggregate } from '../bench/aggregate.js'
import { benchCodecs, type VectorBench } from '../bench/codecs.js'
import { benchFactors } from '../bench/factors.js'
import { benchGenerate } from '../bench/generate.js'
import { benchWhileTraining } from '../bench/generate-while-training.js'
import { benchAttention, benchLinears, type KernelBench } from '../bench/kernels.js'
import { benchLoad } from '../bench/load.js'
import { benchMasking } from '../bench/masking.js'
import type { Measurement } from '../bench/measure.js'
import { benchPrivate } from '../bench/private.js'
import { type ShapeName, shapeNames } from '../bench/shapes.js'
import { benchStep, type StepBench, type StepReport } from '../bench/step.js'
import { benchTokenizer } from '../bench/tokenizer.js'
import type { Command, Context } from '../command.js'
import type { Output } from '../output.js'
import { printProfile } from '../profile.js'
import { UsageError } from '../usage.js'
import { formatTable } from '../words.js'

const flags: Flags = {
  shape: {
    type: 'string',
    value: 'SHAPE',
    description: 'step, kernels, attention, generate, load: shape of the random model',
    choices: shapeNames,
    default: 'smollm2-135m',
  },
  tokens: { type: 'number', value: 'N', description: 'step: tokens of a row; generate: tokens', default: 512 },
  batch: { type: 'number', value: 'N', description: 'step: rows', default: 1 },
  ragged: { type: 'boolean', description: 'step: rows of different lengths, from a quarter of --tokens up' },
  clients: {
    type: 'number',
    value: 'N',
    description: 'adapters, private: clients of a pass, rows of a step, of 128 tokens each, or fewer with --tokens',
    default: 8,
  },
  rank: {
    type: 'number',
    value: 'R',
    description: 'step, kernels, factors: rank of the adapter on every linear layer',
    default: 16,
  },
  quantization: {
    type: 'string',
    value: 'FORMAT',
    description: 'base format',
    choices: ['none', 'bf16', 'int8', 'nf4', 'fp4'],
    default: 'nf4',
  },
  compute: { type: 'string', value: 'MODE', description: 'products in', choices: ['f32', 'bf16'], default: 'bf16' },
  threads: { type: 'number', value: 'N', description: 'threads (default: all cores)' },
  steps: {
    type: 'number',
    value: 'N',
    description: 'step: steps that are counted; kernels, attention: rounds',
    default: 5,
  },
  supervised: { type: 'number', value: 'SHARE', description: 'step: share of supervised tokens', default: 1 },
  recompute: {
    type: 'string',
    value: 'WHAT',
    description: 'step: what backward computes again',
    choices: ['none', 'gate-up', 'all'],
    default: 'none',
  },
  'while-training': {
    type: 'boolean',
    description: 'generate: 64 tokens on the idle model, and while a step trains micro-batches of --tokens',
  },
  parameters: {
    type: 'number',
    value: 'N',
    description: 'codecs, aggregate, masking: length of an update',
    default: 4884480,
  },
  model: {
    type: 'string',
    value: 'DIR',
    description: 'load, tokenizer: model folder (default: one is made; the demo’s)',
  },
  text: { type: 'string', value: 'FILE', description: 'tokenizer: text to encode, line by line (default: GSM8K)' },
}

/** Rows of the products that `kernels` times. */
const kernelRows = [128, 512, 2048, 4096] as const

function whole(values: FlagValues, name: string, least: number): number {
  const value = values[name] as number
  if (Number.isInteger(value) && value >= least) return value
  throw new UsageError(`--${name}: got ${value}, expected a whole number of at least ${least}`, { flag: name })
}

function stepOptions(values: FlagValues): StepBench {
  const supervised = values.supervised as number
  if (!(supervised > 0 && supervised <= 1)) {
    throw new UsageError(`--supervised: got ${supervised}, expected more than 0 and at most 1`, { flag: 'supervised' })
  }
  return {
    shape: values.shape as ShapeName,
    tokens: whole(values, 'tokens', 2),
    batch: whole(values, 'batch', 1),
    ragged: values.ragged === true,
    rank: whole(values, 'rank', 1),
    quantization: values.quantization as StepBench['quantization'],
    compute: values.compute as StepBench['compute'],
    threads: values.threads === undefined ? native().info().cores : whole(values, 'threads', 1),
    steps: whole(values, 'steps', 1),
    supervised,
    recompute: values.recompute as StepBench['recompute'],
  }
}

function printStep(report: StepReport, options: StepBench, output: Output): void {
  const { shape, tokens, batch, ragged, rank, quantization, compute, threads } = options
  output.text(
    `${shape}, ${batch} × ${ragged ? 'up to ' : ''}${tokens} tokens, rank ${rank}, ${quantization} base, ${compute}, ${threads} threads`,
  )
  output.text(
    `  ${report.tokensPerSecond.median.toFixed(0)} tokens/s (best ${report.tokensPerSecond.best.toFixed(0)}), ` +
      `${(100 * report.shareOfRoof).toFixed(1)} % of this machine's ${report.roofGflops.toFixed(0)} GFLOP/s, ` +
      `peak ${report.peakRssMiB.toFixed(0)} MiB (planned ${report.planMiB.toFixed(0)})`,
  )
  printProfile(output, report.profile)
}

async function runStep({ flags: values, output }: Context): Promise<StepReport> {
  const options = stepOptions(values)
  const report = await benchStep(options, (rate, share) => {
    output.event({ type: 'measurement', bench: 'step', tokensPerSecond: rate, shareOfRoof: share })
    output.progress(`step · ${rate.toFixed(0)} tokens/s · ${(100 * share).toFixed(1)} % of peak`)
  })
  output.endProgress()
  printStep(report, options, output)
  return report
}

function runRoof({ flags: values }: Context): Measurement[] {
  const most = stepOptions(values).threads
  return [...new Set([1, most])].flatMap((threads) =>
    (['f32', 'bf16'] as const).map((compute) => ({
      threads,
      products: compute,
      gflops: Math.round(native().measureRoof(compute, threads, 0.5) / 1e9),
      readGBs: Math.round(native().measureReadBandwidth(threads, 0.5) / 1e9),
    })),
  )
}

function kernelOptions({ flags: values }: Context): KernelBench {
  const { shape, rank, compute, threads, steps } = stepOptions(values)
  return { shape, rank, compute, threads, rows: kernelRows, rounds: steps }
}

function vectorOptions({ flags: values }: Context): VectorBench {
  return { parameters: whole(values, 'parameters', 1), threads: stepOptions(values).threads }
}

function runKernels(context: Context): Measurement[] {
  const { output } = context
  return benchLinears(kernelOptions(context), ({ layer, M }) => output.progress(`kernels · ${layer} · ${M} rows`))
}

async function runGenerate({ flags: values }: Context): Promise<Measurement[]> {
  const { shape, quantization, compute, threads, tokens, steps } = stepOptions(values)
  if (quantization === 'bf16' || quantization === 'fp4') {
    throw new UsageError('--quantization: generate knows none, int8 and nf4', { flag: 'quantization' })
  }
  if (values['while-training'] === true) {
    const rank = whole(values, 'rank', 1)
    return [await benchWhileTraining({ shape, quantization, compute, threads, tokens, rank, rounds: steps })]
  }
  return await benchGenerate({ shape, quantization, compute, threads, tokens: Math.min(tokens, 128), rounds: steps })
}

async function runAdapters({ flags: values }: Context): Promise<Measurement[]> {
  const options = stepOptions(values)
  const tokens = Math.min(options.tokens, 128)
  return [await benchAdapters({ ...options, tokens, batch: whole(values, 'clients', 1) })]
}

async function runPrivate({ flags: values }: Context): Promise<Measurement[]> {
  const options = stepOptions(values)
  return [await benchPrivate({ ...options, tokens: Math.min(options.tokens, 128), batch: whole(values, 'clients', 1) })]
}

const tables = {
  adapters: runAdapters,
  private: runPrivate,
  roof: async (context: Context) => runRoof(context),
  kernels: async (context: Context) => runKernels(context),
  attention: async (context: Context) => benchAttention(kernelOptions(context)),
  codecs: async (context: Context) => benchCodecs(vectorOptions(context)),
  aggregate: async (context: Context) => benchAggregate(vectorOptions(context)),
  masking: async (context: Context) => benchMasking(vectorOptions(context)),
  factors: async ({ flags: values }: Context) => benchFactors(whole(values, 'rank', 1)),
  load: ({ flags: values }: Context) =>
    benchLoad(values.model as string | undefined, values.shape as ShapeName, stepOptions(values).threads),
  generate: runGenerate,
  tokenizer: ({ flags: values }: Context) => {
    const { threads, steps } = stepOptions(values)
    const [folder, text] = [values.model as string | undefined, values.text as string | undefined]
    return benchTokenizer({ folder, text, threads, rounds: steps })
  },
} satisfies Record<string, (context: Context) => Promise<Measurement[]>>

type TableName = keyof typeof tables

async function runTable(name: TableName, context: Context): Promise<Measurement[]> {
  const { output } = context
  const measurements = await tables[name](context)
  output.endProgress()
  for (const measurement of measurements) output.event({ type: 'measurement', bench: name, ...measurement })
  const heads = Object.keys(measurements[0]!)
  output.text(`\n${name}`)
  output.text(formatTable([heads, ...measurements.map((one) => heads.map((head) => String(one[head])))]))
  return measurements
}

export const bench: Command = {
  name: 'bench',
  words: [
    {
      name: 'bench',
      description: 'what to measure; all of them when none is named',
      choices: ['step', ...Object.keys(tables)],
    },
  ],
  flags,
  async run(context) {
    const { output } = context
    const info = native().info()
    const machine = { cpu: info.cpu.trim(), isa: info.isa, cores: info.cores }
    output.text(`${machine.cpu} · ${machine.isa} · ${machine.cores} cores`)
    const kernels = Object.fromEntries(info.kernels.map(({ kernel, isa }) => [kernel, isa]))
    output.event({ type: 'machine', ...machine, kernels })
    const name = context.flags.bench as 'step' | TableName | undefined
    if (name === 'step') return { ...machine, ...(await runStep(context)) }
    if (name !== undefined) return { ...machine, [name]: await runTable(name, context) }
    const result: Record<string, unknown> = { ...machine, step: await runStep(context) }
    for (const table of Object.keys(tables) as TableName[]) result[table] = await runTable(table, context)
    return result
  },
}
