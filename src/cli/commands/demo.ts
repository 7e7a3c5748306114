/** `fedlora demo`: three organisations fine-tune one adapter over one quantised model on GSM8K, and what that is worth. */
import { join, resolve } from 'node:path'
import { type Dataset, loadDataset } from '../../data/index.js'
import { evaluate } from '../../evaluation/evaluate.js'
import { simulate } from '../../federated/simulate/simulate.js'
import { exists } from '../../files/atomic.js'
import type { Adapter } from '../../model/adapter.js'
import { loadModel } from '../../model/load.js'
import type { Model } from '../../model/model.js'
import { native } from '../../native/load.js'
import { type Command, text } from '../command.js'
import { baseModelFolder, gsm8kFolder } from '../demo/assets.js'
import { type CalculatorPrompt, calculatorAccuracy, calculatorPrompts } from '../demo/calculator.js'
import { clientRows, type EncodedRow, judgeRows, kinds, readRows, toTokenRow } from '../demo/data.js'
import { baselineFactor, recipe } from '../demo/recipe.js'
import { formatBytes, formatCount, formatTable, type Output, ProgressLine, shownPath } from '../output.js'

interface Score extends Record<string, number> {
  loss: number
  perplexity: number
  tokenAccuracy: number
  calculatorAccuracy: number
}

interface Judge {
  data: Dataset
  prompts: CalculatorPrompt[]
  signal: AbortSignal
}

async function toDataset(rows: readonly EncodedRow[], maxLength: number): Promise<Dataset> {
  return await loadDataset(rows.map(toTokenRow), { format: 'tokens', maxLength })
}

async function calculator(model: Model, adapter: Adapter | undefined, judge: Judge): Promise<number> {
  return await calculatorAccuracy(judge.prompts, (ids, maxTokens) =>
    model.generate(ids, { adapter, maxTokens, signal: judge.signal }),
  )
}

async function score(model: Model, adapter: Adapter | undefined, judge: Judge): Promise<Score> {
  const { loss, perplexity, tokenAccuracy } = await evaluate(adapter ?? model, judge.data, { signal: judge.signal })
  return { loss, perplexity, tokenAccuracy, calculatorAccuracy: await calculator(model, adapter, judge) }
}

async function answer(
  model: Model,
  adapter: Adapter | undefined,
  row: EncodedRow,
  signal: AbortSignal,
): Promise<string> {
  let said = ''
  const options = { adapter, maxTokens: recipe.answerTokens, stop: ['</s>', 'Question:'], signal }
  for await (const piece of model.generate(row.promptIds, options)) said += piece
  return said.trim()
}

/** `fedlora-demo/run-1`, or the next number that is free. */
async function freeFolder(): Promise<string> {
  for (let number = 1; ; number++) {
    const folder = resolve('fedlora-demo', `run-${number}`)
    if (!(await exists(folder))) return folder
  }
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`
}

function scoreTable(scores: readonly (readonly [string, Score])[]): string {
  return formatTable([
    ['', 'held-out loss', 'perplexity', 'next token right', 'calculator right'],
    ...scores.map(([name, one]) => [
      name,
      one.loss.toFixed(4),
      one.perplexity.toFixed(2),
      percent(one.tokenAccuracy),
      percent(one.calculatorAccuracy),
    ]),
  ])
}

/** Prints what a federation tells; returns when it has ended. */
async function follow(run: ReturnType<typeof simulate>, output: Output): Promise<void> {
  let line: { name: string; progress: ProgressLine } | undefined
  for await (const event of run) {
    output.event({ ...event })
    if (event.type === 'client') {
      output.progress(
        `round ${event.round}/${recipe.rounds} · ${event.name} · loss ${event.loss?.toFixed(4) ?? '–'} · ${formatCount(event.tokensPerSecond)} tokens/s`,
      )
    } else if (event.type === 'round') {
      output.text(
        `  round ${event.round}/${event.rounds}: loss ${event.loss!.toFixed(4)}, up ${formatBytes(event.bytesUp)} ` +
          `(${event.compressionRatio!.toFixed(1)} times smaller), cosine to the exact mean ${event.cosine!.toFixed(4)}`,
      )
    } else if (event.type === 'baseline-step') {
      if (line?.name !== event.name)
        line = { name: event.name, progress: new ProgressLine(output, event.name, event.steps!) }
      line.progress.update(event.step, event.loss, event.tokensPerSecond)
    } else if (event.type === 'baseline') {
      const whose = event.kind === 'global' ? 'all data in one place' : `"${event.name}" alone`
      output.text(`  ${whose}: ${event.steps} steps, held-out loss ${event.evaluation!.loss.toFixed(4)}`)
    }
  }
}

export const demo: Command = {
  name: 'demo',
  flags: {
    output: {
      type: 'string',
      value: 'DIR',
      description: 'run folder (default: fedlora-demo/run-N, the next that is free)',
    },
    resume: { type: 'string', value: 'RUN_FOLDER', description: 'continue a demo that was stopped' },
  },
  async run({ flags, output, signal }) {
    const resume = text(flags, 'resume')
    const folder = resolve(resume ?? text(flags, 'output') ?? (await freeFolder()))
    using model = await loadModel(baseModelFolder, { quantization: 'nf4', compute: 'bf16' })
    const tokenizer = await model.tokenizer()
    const maxLength = model.config.maxPositions
    const pools = clientRows(await readRows(join(gsm8kFolder, 'train.jsonl')), tokenizer, recipe.rowsEach, maxLength)
    const judged = judgeRows(await readRows(join(gsm8kFolder, 'test.jsonl')), tokenizer, maxLength)
    const judge: Judge = {
      data: await toDataset(judged, maxLength),
      prompts: calculatorPrompts(judged, tokenizer, recipe.calculatorPrompts),
      signal,
    }
    const clients = await Promise.all(
      pools.map(async (rows, index) => ({ name: kinds[index]!, train: await toDataset(rows, maxLength) })),
    )
    output.text(
      `A ${model.config.family} model of ${model.config.layers} layers in NF4 (${formatBytes(model.memory.total)}); ` +
        `three organisations with ${recipe.rowsEach} private GSM8K answers each: ${kinds.join(', ')}.`,
    )

    const base = await score(model, undefined, judge)
    const question = judged[0]!
    const before = await answer(model, undefined, question, signal)
    output.text(`Before: held-out loss ${base.loss.toFixed(4)}.`)
    output.text(`Federation, then the same budget of steps for everyone alone and for all data in one place:`)

    const run = simulate({
      model,
      adapter: recipe.adapter,
      clients,
      rounds: recipe.rounds,
      local: recipe.local,
      upload: recipe.upload,
      seed: recipe.seed,
      evaluate: { data: judge.data },
      baselines: ['local', 'global'],
      baselineSchedule: baselineFactor,
      ...(resume === undefined ? { outputDir: folder } : { resumeFrom: folder }),
      signal,
    })
    await follow(run, output)
    const result = await run
    using adapter = result.adapter
    output.endProgress()

    const measured = async (evaluation: typeof result.evaluation, one: Adapter): Promise<Score> => {
      const { loss, perplexity, tokenAccuracy } = evaluation!
      return { loss, perplexity, tokenAccuracy, calculatorAccuracy: await calculator(model, one, judge) }
    }
    const federated = await measured(result.evaluation, adapter)
    const alone: Score[] = []
    let allData = base
    for (const baseline of result.baselines) {
      using trained = await model.loadAdapter(baseline.adapter!)
      const one = await measured(baseline.evaluation, trained)
      if (baseline.kind === 'global') allData = one
      else alone.push(one)
    }
    const after = await answer(model, adapter, question, signal)
    const seconds = performance.now() / 1000
    const peakRssMiB = native().processMemory().peakBytes / 2 ** 20
    const adapterFolder = join(folder, 'adapter')

    output.text()
    output.text(
      scoreTable([
        ['base', base],
        ...alone.map((one, index) => [`"${kinds[index]}" alone`, one] as const),
        ['federated', federated],
        ['all data in one place', allData],
      ]),
    )
    output.text()
    output.text(`Question: ${question.question}`)
    output.text(`Before:   ${before.replaceAll('\n', '\n          ')}`)
    output.text(`After:    ${after.replaceAll('\n', '\n          ')}`)
    output.text(`Answer:   ${question.answer.replaceAll('\n', '\n          ')}`)
    output.text()
    output.text(
      `Bytes up ${formatBytes(result.bytesUp)} (${formatBytes(result.bytesUpRaw)} as raw float32: ${(result.bytesUpRaw / result.bytesUp).toFixed(1)} times smaller), ` +
        `down ${formatBytes(result.bytesDown)} of ${formatBytes(result.bytesDownRaw)} raw.`,
    )
    output.text(
      `${formatCount(result.tokensPerSecond)} tokens/s in training, peak memory ${peakRssMiB.toFixed(0)} MiB, ${seconds.toFixed(1)} s in all.`,
    )
    output.text(`Adapter (PEFT folder): ${shownPath(adapterFolder)}`)
    output.text(`Run folder:            ${shownPath(folder)}`)
    return {
      base,
      alone,
      federated,
      allData,
      bytesUp: result.bytesUp,
      bytesDown: result.bytesDown,
      bytesUpRaw: result.bytesUpRaw,
      tokensPerSecond: result.tokensPerSecond,
      peakRssMiB,
      seconds,
      adapter: adapterFolder,
      runFolder: folder,
    }
  },
}
