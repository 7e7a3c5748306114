/** `fedlora eval`: loss, perplexity and next-token accuracy of a model, with an adapter or without. */
import { evaluate as evaluateTarget } from '../../evaluation/evaluate.js'
import { progressOf } from '../../training/progress.js'
import type { FlagValues } from '../arguments.js'
import { type Command, type Config, configFlag, section } from '../command.js'
import { type DataPlan, keepBack, planData, planEvaluation, readData, reportCounts, withModel } from '../open-data.js'
import { loadPlanned, openOwnAdapter, planModel } from '../open-model.js'
import { printProfile } from '../profile.js'
import {
  adapterFlag,
  dataFlags,
  deviceFlag,
  evaluateSchema,
  modelFlag,
  modelSections,
  trainSchema,
} from '../sections.js'
import { formatTable } from '../words.js'

/** `--data`; else the rows of `evaluate`, or those that `data.validation` keeps back; else `data`. */
function planRows(flags: FlagValues, config: Config): { data: DataPlan; share?: number } {
  if (flags.data !== undefined) return { data: { ...planData(flags, config), validation: undefined } }
  const data = config.evaluate === undefined || config.data !== undefined ? planData(flags, config) : undefined
  const evaluation = planEvaluation(evaluateSchema, flags, config, data)
  if (evaluation?.data !== undefined) return { data: evaluation.data }
  return { data: data!, ...(evaluation && data?.validation !== undefined && { share: data.validation }) }
}

export const evaluate: Command = {
  name: 'eval',
  flags: {
    ...configFlag,
    model: modelFlag,
    device: deviceFlag,
    ...dataFlags,
    adapter: adapterFlag,
  },
  sections: modelSections,
  ignoredSections: ['split', 'federation'],
  async run({ flags, config, output, signal }) {
    const modelPlan = await planModel(flags, config)
    const { data: dataPlan, share } = planRows(flags, config)
    const rows = await readData(dataPlan, output)
    const kept = keepBack(rows, share, section(trainSchema, 'train', config).seed)
    using model = await loadPlanned(modelPlan, output, kept.held ?? kept.train)
    using adapter = await openOwnAdapter(model, modelPlan, output)
    const data = await withModel(kept.held ?? kept.train, model, output)
    reportCounts(data, (line) => output.note(line))
    const onProgress = progressOf('evaluating', (event) => output.measure(event))
    output.phase('evaluating')
    const result = await evaluateTarget(adapter ?? model, data, { signal, onProgress })
    output.endProgress()
    output.text(
      formatTable([
        ['rows', String(data.length)],
        ['supervised tokens', String(result.tokens)],
        ['loss', result.loss.toFixed(4)],
        ['perplexity', result.perplexity.toFixed(3)],
        ['next-token accuracy', `${(100 * result.tokenAccuracy).toFixed(2)} %`],
      ]),
    )
    printProfile(output, model.profile())
    return { ...result, rows: data.length }
  },
}
