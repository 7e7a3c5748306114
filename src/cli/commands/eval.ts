/** `fedlora eval`: loss, perplexity and next-token accuracy of a model, with an adapter or without. */
import { evaluate as evaluateTarget } from '../../evaluation/evaluate.js'
import { type Command, configFlag, text } from '../command.js'
import { formatTable } from '../output.js'
import { printProfile } from '../profile.js'
import { dataFlags, modelFlag, modelSections, openData, openEvaluation, openModel, reportCounts } from '../sections.js'

export const evaluate: Command = {
  name: 'eval',
  flags: {
    ...configFlag,
    model: modelFlag,
    ...dataFlags,
    adapter: { type: 'string', value: 'DIR', description: 'PEFT adapter folder; without it the base model alone' },
  },
  sections: modelSections,
  ignoredSections: ['split', 'federation'],
  async run({ flags, config, output, signal }) {
    using model = await openModel(flags, config)
    const folder = text(flags, 'adapter')
    using adapter = folder === undefined ? undefined : await model.loadAdapter(folder)
    const held = flags.data === undefined ? await openEvaluation(model, flags, config) : undefined
    const data = held?.data ?? (await openData(model, flags, config))
    reportCounts(data, (line) => output.note(line))
    for (const line of data.warnings) output.note(line)
    const result = await evaluateTarget(adapter ?? model, data, { signal })
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
