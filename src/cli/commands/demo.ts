/** `fedlora demo`: three organisations fine-tune one adapter over one quantised model on GSM8K, and what that is worth. */
import { join, resolve } from 'node:path'
import { formatBytes } from '../../errors/describe.js'
import { exists } from '../../files/atomic.js'
import type { Adapter } from '../../model/adapter.js'
import { native } from '../../native/load.js'
import { type Command, text } from '../command.js'
import { kinds } from '../demo/data.js'
import { networked } from '../demo/network.js'
import { recipe } from '../demo/recipe.js'
import { type Federated, simulated } from '../demo/simulated.js'
import { type Score, Stage } from '../demo/stage.js'
import type { Output } from '../output.js'
import { formatCount, formatTable, shownPath } from '../words.js'

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

interface Scores {
  base: Score
  alone: Score[]
  federated: Score
  allData: Score
}

/** What everybody's adapter is worth; its losses are measured already. */
async function scoreAll(stage: Stage, base: Score, result: Federated): Promise<Scores> {
  const measured = async (evaluation: Federated['evaluation'], one: Adapter): Promise<Score> => {
    const { loss, perplexity, tokenAccuracy } = evaluation!
    return { loss, perplexity, tokenAccuracy, calculatorAccuracy: await stage.calculator(one) }
  }
  const scores: Scores = {
    base,
    alone: [],
    federated: await measured(result.evaluation, result.adapter),
    allData: base,
  }
  for (const baseline of result.baselines) {
    using trained = await stage.model.loadAdapter(baseline.adapter!)
    const one = await measured(baseline.evaluation, trained)
    if (baseline.kind === 'global') scores.allData = one
    else scores.alone.push(one)
  }
  return scores
}

/** Everything that is shown in the end. */
function report(
  { base, alone, federated, allData }: Scores,
  said: { question: string; before: string; after: string; answer: string },
  result: Federated,
  figures: { seconds: number; peakRssMiB: number; adapter: string; runFolder: string },
  output: Output,
): void {
  const indented = (text: string) => text.replaceAll('\n', '\n          ')
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
  output.text(`Question: ${said.question}`)
  output.text(`Before:   ${indented(said.before)}`)
  output.text(`After:    ${indented(said.after)}`)
  output.text(`Answer:   ${indented(said.answer)}`)
  output.text()
  output.text(
    `Bytes up ${formatBytes(result.bytesUp)} (${formatBytes(result.bytesUpRaw)} as raw float32: ${(result.bytesUpRaw / result.bytesUp).toFixed(1)} times smaller), ` +
      `down ${formatBytes(result.bytesDown)} of ${formatBytes(result.bytesDownRaw)} raw.`,
  )
  output.text(
    `${formatCount(result.tokensPerSecond)} tokens/s in training, peak memory ${figures.peakRssMiB.toFixed(0)} MiB, ${figures.seconds.toFixed(1)} s in all.`,
  )
  output.text(`Adapter (PEFT folder): ${shownPath(figures.adapter)}`)
  output.text(`Run folder:            ${shownPath(figures.runFolder)}`)
}

export const demo: Command = {
  name: 'demo',
  flags: {
    output: {
      type: 'string',
      value: 'DIR',
      description: 'run folder (default: fedlora-demo/run-N, the next that is free)',
    },
    network: {
      type: 'boolean',
      description: 'the federation as one server and three clients, each a process, over HTTPS on this machine',
    },
    resume: { type: 'string', value: 'RUN_FOLDER', description: 'continue a demo that was stopped' },
  },
  async run({ flags, output, signal }) {
    const resume = text(flags, 'resume')
    const folder = resolve(resume ?? text(flags, 'output') ?? (await freeFolder()))
    using stage = await Stage.open(signal)
    const { config, memory } = stage.model
    output.text(
      `A ${config.family} model of ${config.layers} layers in NF4 (${formatBytes(memory.total)}); ` +
        `three organisations with ${recipe.rowsEach} private GSM8K answers each: ${kinds.join(', ')}.`,
    )

    const base = await stage.score(undefined)
    const before = await stage.answer(undefined)
    output.text(`Before: held-out loss ${base.loss.toFixed(4)}.`)
    output.text(`Federation, then the same budget of steps for everyone alone and for all data in one place:`)

    const place = { folder, resumes: resume !== undefined }
    const federate = flags.network ? networked : simulated
    const result = await federate(stage, place, output, signal)
    using adapter = result.adapter
    output.endProgress()

    const scores = await scoreAll(stage, base, result)
    const after = await stage.answer(adapter)
    const figures = {
      peakRssMiB: native().processMemory().peakBytes / 2 ** 20,
      seconds: performance.now() / 1000,
      adapter: join(folder, ...(flags.network ? ['server', 'adapter'] : ['adapter'])),
      runFolder: folder,
    }
    const { question, answer } = stage.held.row(0)
    report(scores, { question: String(question), before, after, answer: String(answer) }, result, figures, output)
    const { bytesUp, bytesDown, bytesUpRaw, tokensPerSecond } = result
    return { ...scores, bytesUp, bytesDown, bytesUpRaw, tokensPerSecond, ...figures }
  },
}
