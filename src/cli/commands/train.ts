/** `fedlora train`: fine-tunes an adapter. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { z } from 'zod'
import type { Dataset } from '../../data/index.js'
import { isFedloraError } from '../../errors.js'
import { makeFolder } from '../../files/atomic.js'
import { refuseUsedFolder } from '../../run/folder.js'
import type { TrainEvent, TrainResult } from '../../training/events.js'
import { scheduleContext } from '../../training/extension.js'
import { parseTrainOptions, type TrainOptions } from '../../training/options.js'
import { outputFolder } from '../../training/record.js'
import { scheduleFactor } from '../../training/schedule.js'
import { trainForm } from '../../training/state.js'
import { train as startTraining, type TrainRun } from '../../training/train.js'
import type { FlagValues } from '../arguments.js'
import { type Command, type Config, configFlag, section, text, usage } from '../command.js'
import {
  type EvaluationPlan,
  keepBack,
  loadPlanned,
  openAdapter,
  planData,
  planEvaluation,
  planModel,
  readData,
  reportCounts,
  withModel,
} from '../open.js'
import { formatCount, type Output, ProgressLine, shownPath } from '../output.js'
import { printProfile } from '../profile.js'
import { recipeOf, rememberedRecipe, resumeCommand, writeRecipe } from '../recipe.js'
import { dataFlags, evaluateSchema, modelFlag, modelSections, runFlags, trainSchema } from '../sections.js'
import { UsageError } from '../usage.js'

type Options = z.output<typeof trainSchema>

function planOptions(flags: FlagValues, config: Config): Options {
  const board = text(flags, 'tensorboard')
  return section(trainSchema, 'train', config, {
    outputDir: text(flags, 'output'),
    resumeFrom: text(flags, 'resume'),
    tensorboard: board === '' ? true : board,
  })
}

/** Everything that `train` would refuse of the options, and a folder that is taken: before the model is loaded. */
async function checkOptions(options: Options, evaluation: EvaluationPlan | undefined): Promise<void> {
  const rows = { length: 0, sample: () => {} } as unknown as Dataset
  const evaluate = evaluation && { evaluate: { ...evaluation.when, data: rows } }
  await usage(async () => {
    const config = parseTrainOptions({ ...options, ...evaluate } as TrainOptions)
    scheduleFactor(config.schedule, 0, scheduleContext(config, 1))
    if (options.resumeFrom !== undefined || options.outputDir === undefined) return
    await refuseUsedFolder(resolve(options.outputDir), trainForm).catch((error) => {
      const folder = shownPath(resolve(options.outputDir!))
      throw isFedloraError(error) && error.details.holds === 'run'
        ? new UsageError(
            `--output: '${folder}' already holds a run; go on with it by ${resumeCommand('train', folder)}, or choose another folder`,
          )
        : error
    })
  })
}

/** Follows a run: events for machines, a progress line and a few words for people. */
async function follow(run: TrainRun, output: Output, onBegun: () => Promise<void>): Promise<TrainResult> {
  let steps: ProgressLine | undefined
  let begun = false
  output.phase('training')
  for await (const event of run) {
    output.event({ ...event })
    if (!begun && (event.type === 'step' || event.type === 'evaluation' || event.type === 'done')) {
      begun = true
      await onBegun()
    }
    if (event.type === 'step') {
      steps ??= new ProgressLine(output, 'step', event.totalSteps)
      steps.update(event.step, event.loss, event.tokensPerSecond)
    } else tell(event, output)
  }
  return await run
}

function tell(event: TrainEvent, output: Output): void {
  if (event.type === 'warning') output.note(event.message)
  else if (event.type === 'progress') output.measure(event)
  else if (event.type === 'evaluation') {
    const best = event.best ? ', the best so far' : ''
    output.text(`step ${event.step}: held-out loss ${event.loss.toFixed(4)}${best}`)
  }
}

function report(result: TrainResult, output: Output): void {
  const { steps, totalSteps, loss, tokensPerSecond, best, outputDir } = result
  const early = result.finishReason === 'early-stopping' ? ` of ${totalSteps}, stopped early` : ''
  output.text(`${steps} steps${early} · loss ${loss.toFixed(4)} · ${formatCount(tokensPerSecond)} tokens/s`)
  if (best !== undefined) {
    const where = best.adapter === undefined ? '' : ` · ${shownPath(best.adapter)}`
    output.text(`best: step ${best.step} · held-out loss ${best.loss.toFixed(4)}${where}`)
  }
  if (outputDir !== undefined) output.text(`adapter: ${shownPath(outputDir)}/adapter`)
  else output.note('no --output: the adapter is not kept')
}

export const train: Command = {
  name: 'train',
  flags: {
    ...configFlag,
    model: modelFlag,
    ...dataFlags,
    ...runFlags,
    tensorboard: {
      type: 'string',
      value: '[DIR]',
      description: 'write TensorBoard event files, into the run folder unless a folder is named',
      optional: true,
    },
  },
  sections: modelSections,
  ignoredSections: ['split', 'federation'],
  remembered: (flags) => rememberedRecipe('train', flags),
  async run({ flags, config, output, signal, holding }) {
    const options = planOptions(flags, config)
    const modelPlan = await planModel(flags, config)
    const dataPlan = planData(flags, config)
    const evaluation = planEvaluation(evaluateSchema, flags, config, dataPlan)
    await checkOptions(options, evaluation)
    const folder = outputFolder({ ...options, evaluate: undefined, signal: undefined })
    if (folder !== undefined) await makeFolder(folder)

    const rows = keepBack(await readData(dataPlan, output), dataPlan.validation, options.seed)
    const heldRows = evaluation?.data ? await readData(evaluation.data, output) : rows.held
    using model = await loadPlanned(modelPlan, output, rows.train, heldRows)
    using adapter = await openAdapter(model, modelPlan, config, output)
    const data = await withModel(rows.train, model, output)
    const held = heldRows && (await withModel(heldRows, model, output))
    reportCounts(data, (line) => output.note(line))
    output.text(
      `${data.length} rows · ${formatCount(adapter.length)} trainable values in ${adapter.targets.length} layers`,
    )
    const evaluate = evaluation && held && { evaluate: { ...evaluation.when, data: held } }
    const recipe = recipeOf(
      {
        ...config,
        train: { ...(config.train as object), ...(options.tensorboard && { tensorboard: options.tensorboard }) },
      },
      flags,
    )
    const remember = async () => void (folder !== undefined && (await writeRecipe(folder, recipe)))
    if (options.resumeFrom === undefined) await remember()
    return await holding(async () => {
      const run = startTraining(adapter, data, { ...options, ...evaluate, signal })
      let step = 0
      try {
        const result = await follow(run, output, remember)
        output.endProgress()
        report(result, output)
        printProfile(output, model.profile())
        return { ...result }
      } catch (error) {
        for await (const event of run.events()) if ('step' in event) step = event.step
        stopped(folder, step, isFedloraError(error), output)
        throw error
      }
    })
  },
}

/** Where a run that did not end stands, and how to go on. A failure before any step leaves nothing worth going on with. */
function stopped(folder: string | undefined, step: number, failed: boolean, output: Output): void {
  output.endProgress()
  if (failed && step === 0) return
  const where = step === 0 ? 'stopped before a step was done' : `stopped after step ${step}`
  if (folder === undefined || !existsSync(`${folder}/checkpoints`)) {
    output.note(`${where}; ${folder === undefined ? 'no --output: nothing' : 'nothing'} is kept`)
    return
  }
  const resume = resumeCommand('train', folder)
  if (!failed) output.event({ type: 'stopped', step, outputDir: folder, adapter: `${folder}/adapter`, resume })
  output.note(`${where} · adapter: ${shownPath(folder)}/adapter`)
  output.note(`go on ${failed ? 'when the cause is mended ' : ''}with: ${resume}`)
}
