/** `fedlora train`: fine-tunes an adapter. */
import { train as startTraining } from '../../training/train.js'
import { type Command, configFlag, section, text } from '../command.js'
import { formatCount, ProgressLine, shownPath } from '../output.js'
import { printProfile } from '../profile.js'
import {
  dataFlags,
  modelFlag,
  modelSections,
  openAdapter,
  openData,
  openEvaluation,
  openModel,
  reportCounts,
  trainSchema,
} from '../sections.js'

export const train: Command = {
  name: 'train',
  flags: {
    ...configFlag,
    model: modelFlag,
    ...dataFlags,
    adapter: {
      type: 'string',
      value: 'DIR',
      description: 'PEFT adapter folder to start from; without it a new adapter',
    },
    output: {
      type: 'string',
      value: 'DIR',
      description: 'run folder: config.json, events.ndjson, adapter/, checkpoints/',
    },
    resume: { type: 'string', value: 'RUN_FOLDER', description: 'continue a run from its last checkpoint' },
  },
  sections: modelSections,
  ignoredSections: ['split', 'federation'],
  async run({ flags, config, output, signal }) {
    const options = section(trainSchema, 'train', config, {
      outputDir: text(flags, 'output'),
      resumeFrom: text(flags, 'resume'),
    })
    using model = await openModel(flags, config)
    const data = await openData(model, flags, config)
    reportCounts(data, (line) => output.note(line))
    const evaluate = await openEvaluation(model, flags, config)
    using adapter = await openAdapter(model, flags, config)
    output.text(
      `${data.length} rows · ${formatCount(adapter.length)} trainable values in ${adapter.targets.length} layers`,
    )
    const total = options.maxSteps ?? plannedSteps(data.length, options)
    const progress = new ProgressLine(output, 'step', total)
    const run = startTraining(adapter, data, { ...options, ...(evaluate && { evaluate }), signal })
    for await (const event of run) {
      output.event({ ...event })
      if (event.type === 'step') progress.update(event.step, event.loss, event.tokensPerSecond)
      if (event.type === 'warning') output.note(event.message)
      if (event.type === 'evaluation') output.text(`step ${event.step}: held-out loss ${event.loss.toFixed(4)}`)
    }
    const result = await run
    progress.end()
    output.text(
      `${result.steps} steps · loss ${result.loss.toFixed(4)} · ${formatCount(result.tokensPerSecond)} tokens/s`,
    )
    if (result.outputDir !== undefined) output.text(`adapter: ${shownPath(result.outputDir)}/adapter`)
    else output.note('no --output: the adapter is not kept')
    printProfile(output, model.profile())
    return { ...result }
  },
}

function plannedSteps(
  rows: number,
  options: { epochs?: number; batchSize: number; gradientAccumulation: number },
): number {
  return Math.ceil(((options.epochs ?? 1) * rows) / (options.batchSize * options.gradientAccumulation))
}
