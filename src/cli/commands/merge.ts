/** `fedlora merge`: a model folder with the adapter folded into its weights. */
import { resolve } from 'node:path'
import { loadModel } from '../../model/load.js'
import { type Command, text } from '../command.js'
import { shownPath } from '../output.js'

export const merge: Command = {
  name: 'merge',
  flags: {
    model: { type: 'string', value: 'DIR', description: 'base model folder', required: true },
    adapter: { type: 'string', value: 'DIR', description: 'PEFT adapter folder', required: true },
    output: { type: 'string', value: 'DIR', description: 'folder to write', required: true },
  },
  async run({ flags, output }) {
    using model = await loadModel(text(flags, 'model')!)
    using adapter = await model.loadAdapter(text(flags, 'adapter')!)
    const folder = resolve(text(flags, 'output')!)
    await adapter.merge(folder)
    output.text(`${adapter.targets.length} layers merged, written to ${shownPath(folder)}`)
    return { folder, merged: adapter.targets.length }
  },
}
