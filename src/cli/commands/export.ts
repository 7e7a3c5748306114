/** `fedlora export`: an adapter alone, as another program reads it. */
import { checkExportOutput, exportAdapter, exportOptionsSchema } from '../../model/export.js'
import { type Command, section, text, usage } from '../command.js'
import { schemaFlags, schemaValues } from '../schema-flags.js'
import { shownPath } from '../words.js'

export const exportCommand: Command = {
  name: 'export',
  flags: {
    model: {
      type: 'string',
      value: 'DIR',
      description: 'base model: a folder, a .gguf file or an id in the Hugging Face cache; only its config is read',
      required: true,
    },
    adapter: { type: 'string', value: 'DIR', description: 'PEFT adapter folder', required: true },
    output: { type: 'string', value: 'FILE.gguf', description: 'the file to write', required: true },
    ...schemaFlags(exportOptionsSchema),
  },
  async run({ flags, output }) {
    const options = section(exportOptionsSchema, 'export', {}, schemaValues(exportOptionsSchema, flags))
    await usage(() => checkExportOutput(text(flags, 'output')!, options.overwrite))
    const result = await exportAdapter(text(flags, 'model')!, text(flags, 'adapter')!, text(flags, 'output')!, options)
    output.text(`${result.layers} layers, written to ${shownPath(result.file)}`)
    return { ...result }
  },
}
