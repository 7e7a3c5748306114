/** `fedlora merge`: a model folder, or a GGUF file, with the adapter folded into its weights. */
import { loadModel } from '../../model/load.js'
import { checkMergeOutput, mergeOptionsSchema } from '../../model/merge.js'
import { type Command, section, text, usage } from '../command.js'
import { loadTold, modelPlace } from '../open-model.js'
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
    output: {
      type: 'string',
      value: 'PATH',
      description: 'new or empty folder to write, or the .gguf file',
      required: true,
    },
    ...schemaFlags(mergeOptionsSchema),
  },
  async run({ flags, output }) {
    const options = section(mergeOptionsSchema, 'merge', {}, schemaValues(mergeOptionsSchema, flags))
    const from = await modelPlace(text(flags, 'model')!)
    const target = await usage(() => checkMergeOutput(text(flags, 'output')!, options, from))
    output.phase('loading model')
    using model = await loadModel(text(flags, 'model')!)
    using adapter = await loadTold(model, text(flags, 'adapter')!, output)
    output.phase('merging')
    const { path, notes } = await adapter.merge(target, options)
    output.endProgress()
    output.text(`${adapter.targets.length} layers merged, written to ${shownPath(path)}`)
    for (const note of notes) output.note(note)
    return { folder: path, merged: adapter.targets.length }
  },
}
