/** `fedlora train`: fine-tunes an adapter. */
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
import type { Spent } from '../../training/spending.js'
import { trainForm } from '../../training/state.js'
import { train as startTraining } from '../../training/train.js'
import type { FlagValues } from '../arguments.js'
import { type Command, type Config, configFlag, section, text, usage } from '../command.js'
import { follow, type StoppedRun, tellStopped } from '../follow.js'
import { type EvaluationPlan, fitRows, planData, planEvaluation, readRows } from '../open-data.js'
import { loadPlanned, openAdapter, planModel } from '../open-model.js'
import type { Output } from '../output.js'
import { printProfile } from '../profile.js'
import { ProgressLine } from '../progress-line.js'
import { recipeOf, rememberedRecipe, resumeCommand, writeRecipe } from '../recipe.js'
import { dataFlags, deviceFlag, evaluateSchema, modelFlag, modelSections, runFlags, trainSchema } from '../sections.js'
import { UsageError } from '../usage.js'
import { formatCount, shownPath } from '../words.js'

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

/** What people are told of the events of a run. */
function teller(output: Output): (event: TrainEvent) => void {
  let steps: ProgressLine | undefined
  return (event) => {
    if (event.type === 'step') {
      steps ??= new ProgressLine(output, 'step', event.totalSteps)
      steps.update(event.step, event.loss, event.tokensPerSecond)
    } else if (event.type === 'warning') output.note(event.message)
    else if (event.type === 'progress') output.measure(event)
    else if (event.type === 'evaluation') {
      const best = event.best ? ', the best so far' : ''
      output.text(`step ${event.step}: held-out loss ${event.loss.toFixed(4)}${best}`)
    }
  }
}

function spentText({ epsilon, delta, steps, noiseMultiplier, sampleRate }: Spent): string {
  if (!Number.isFinite(epsilon)) return 'privacy: none, since no noise was added'
  const how = `${steps} steps of rate ${sampleRate.toPrecision(3)}, noise ${noiseMultiplier.toPrecision(3)}`
  return `privacy: ε ${epsilon.toPrecision(3)} at δ ${delta} for a row (${how})`
}

function report(result: TrainResult, output: Output): void {
  const { steps, totalSteps, loss, tokensPerSecond, best, outputDir, privacy } = result
  const why = { 'early-stopping': 'stopped early', budget: 'the privacy budget is spent', completed: '', stopped: '' }
  const reason = why[result.finishReason]
  const early = reason === '' ? '' : ` of ${totalSteps}, ${reason}`
  output.text(`${steps} steps${early} · loss ${loss.toFixed(4)} · ${formatCount(tokensPerSecond)} tokens/s`)
  if (best !== undefined) {
    const where = best.adapter === undefined ? '' : ` · ${shownPath(best.adapter)}`
    output.text(`best: step ${best.step} · held-out loss ${best.loss.toFixed(4)}${where}`)
  }
  if (privacy !== undefined) output.text(spentText(privacy))
  if (outputDir !== undefined) output.text(`adapter: ${shownPath(outputDir)}/adapter`)
  else output.note('no --output: the adapter is not kept')
}

export const train: Command = {
  name: 'train',
  flags: {
    ...configFlag,
    model: modelFlag,
    device: deviceFlag,
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

    const rows = await readRows(dataPlan, evaluation, options.seed, output)
    using model = await loadPlanned(modelPlan, output, rows.train, rows.held)
    using adapter = await openAdapter(model, modelPlan, config, output)
    const { train: data, held } = await fitRows(rows, model, output)
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
        const result = await follow(run, output, teller(output), ['step', 'evaluation', 'done'], remember)
        output.endProgress()
        report(result, output)
        printProfile(output, model.profile())
        return { ...result }
      } catch (error) {
        for await (const event of run.events()) if ('step' in event) step = event.step
        tellStopped(stopped(folder, step), isFedloraError(error), output)
        throw error
      }
    })
  },
}

function stopped(folder: string | undefined, step: number): StoppedRun {
  const place = folder === undefined ? '' : `adapter: ${shownPath(folder)}/adapter`
  return {
    command: 'train',
    unit: 'step',
    done: step,
    folder,
    sign: 'checkpoints',
    fields: { outputDir: folder },
    place,
  }
}
