/** `fedlora merge`: a model folder with the adapter folded into its weights. */
import { loadModel } from '../../model/load.js'
import { outputOptionsSchema } from '../../model/output-folder.js'
import { type Command, section, text } from '../command.js'
import { openOutput } from '../open-model.js'
import { schemaFlags, schemaValues } from '../schema-flags.js'
import { shownPath } from '../words.js'

export const merge: Command = {
  name: 'merge',
  flags: {
    model: {
      type: 'string',
      value: 'DIR',
      description: 'base model folder, or id in the Hugging Face cache',
      required: true,
    },
    adapter: { type: 'string', value: 'DIR', description: 'PEFT adapter folder', required: true },
    output: { type: 'string', value: 'DIR', description: 'new or empty folder to write', required: true },
    ...schemaFlags(outputOptionsSchema),
  },
  async run({ flags, output }) {
    const options = section(outputOptionsSchema, 'merge', {}, schemaValues(outputOptionsSchema, flags))
    const folder = await openOutput(flags, 'merge', options.overwrite)
    output.phase('loading model')
    using model = await loadModel(text(flags, 'model')!)
    using adapter = await model.loadAdapter(text(flags, 'adapter')!)
    output.phase('merging')
    await adapter.merge(folder, options)
    output.endProgress()
    output.text(`${adapter.targets.length} layers merged, written to ${shownPath(folder)}`)
    return { folder, merged: adapter.targets.length }
  },
}
