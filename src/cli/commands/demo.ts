/** `fedlora demo`: three organisations fine-tune one adapter over one quantised model on GSM8K, and what that is worth. */
import { join, resolve } from 'node:path'
import { type Dataset, loadDataset } from '../../data/index.js'
import type { PromptText } from '../../data/prompt.js'
import { formatBytes } from '../../errors/describe.js'
import { evaluate } from '../../evaluation/evaluate.js'
import type { FederationEvent } from '../../federated/events.js'
import { simulate } from '../../federated/simulate/simulate.js'
import { exists } from '../../files/atomic.js'
import type { Adapter } from '../../model/adapter.js'
import { loadModel } from '../../model/load.js'
import type { Model } from '../../model/model.js'
import { native } from '../../native/load.js'
import { type Command, text } from '../command.js'
import { baseModelFolder, gsm8kFolder } from '../demo/assets.js'
import { type CalculatorPrompt, calculatorAccuracy, calculatorPrompts } from '../demo/calculator.js'
import { clientRows, kinds } from '../demo/data.js'
import { baselineFactor, recipe } from '../demo/recipe.js'
import { follow, tellClient } from '../follow.js'
import type { Output } from '../output.js'
import { ProgressLine } from '../progress-line.js'
import { formatCount, formatTable, shownPath } from '../words.js'

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

/** Rows of GSM8K, each as its question and its answer. */
async function readGsm8k(file: string, model: Model, overlong: 'truncate' | 'drop'): Promise<Dataset> {
  const maxLength = model.config.maxPositions
  return await loadDataset(join(gsm8kFolder, file), { format: 'gsm8k', tokenizer: model, maxLength, overlong })
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
  prompt: PromptText,
  signal: AbortSignal,
): Promise<string> {
  let said = ''
  const options = { adapter, maxTokens: recipe.answerTokens, stop: ['</s>', 'Question:'], signal }
  for await (const piece of model.generate(prompt, options)) said += piece
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

/** What people are told of the events of the federation. */
function teller(output: Output): (event: FederationEvent) => void {
  let line: { name: string; progress: ProgressLine } | undefined
  return (event) => {
    if (event.type === 'client') tellClient(output, event, recipe.rounds)
    else if (event.type === 'round') {
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
    const pools = clientRows(await readGsm8k('train.jsonl', model, 'truncate'), recipe.rowsEach)
    const clients = pools.map((train, index) => ({ name: kinds[index]!, train }))
    const data = await readGsm8k('test.jsonl', model, 'drop')
    const judge: Judge = { data, prompts: calculatorPrompts(data, tokenizer, recipe.calculatorPrompts), signal }
    output.text(
      `A ${model.config.family} model of ${model.config.layers} layers in NF4 (${formatBytes(model.memory.total)}); ` +
        `three organisations with ${recipe.rowsEach} private GSM8K answers each: ${kinds.join(', ')}.`,
    )

    const base = await score(model, undefined, judge)
    const question = data.prompt(0)
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
    const result = await follow(run, output, teller(output))
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
    output.text(`Question: ${data.row(0).question}`)
    output.text(`Before:   ${before.replaceAll('\n', '\n          ')}`)
    output.text(`After:    ${after.replaceAll('\n', '\n          ')}`)
    output.text(`Answer:   ${String(data.row(0).answer).replaceAll('\n', '\n          ')}`)
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
