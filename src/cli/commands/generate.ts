/** `fedlora generate`: continues a prompt and streams the text. */
import { generateOptionsSchema } from '../../model/generate.js'
import { type Command, configFlag, section, text } from '../command.js'
import { printProfile } from '../profile.js'
import { schemaFlags, schemaValues } from '../schema-flags.js'
import { modelFlag, modelSections, openModel } from '../sections.js'

const samplingSchema = generateOptionsSchema.omit({ adapter: true, signal: true })

export const generate: Command = {
  name: 'generate',
  flags: {
    ...configFlag,
    model: modelFlag,
    adapter: { type: 'string', value: 'DIR', description: 'PEFT adapter folder; without it the base model alone' },
    prompt: { type: 'string', value: 'TEXT', description: 'what to continue', required: true },
    chat: { type: 'boolean', description: "the prompt is a user's message for the chat template" },
    ...schemaFlags(samplingSchema),
    stop: {
      type: 'string',
      value: 'TEXT',
      description: 'a text that ends the generation (may be repeated)',
      multiple: true,
    },
  },
  sections: modelSections,
  ignoredSections: ['split', 'federation'],
  async run({ flags, config, output, signal }) {
    const sampling = section(samplingSchema, 'generate', {}, schemaValues(samplingSchema, flags))
    using model = await openModel(flags, config)
    const folder = text(flags, 'adapter')
    using adapter = folder === undefined ? undefined : await model.loadAdapter(folder)
    const prompt = text(flags, 'prompt')!
    const asked = flags.chat ? [{ role: 'user', content: prompt }] : prompt
    let generated = ''
    for await (const piece of model.generate(asked, { ...sampling, adapter, signal })) {
      generated += piece
      output.event({ type: 'piece', text: piece })
      output.piece(piece)
    }
    output.text()
    printProfile(output, model.profile())
    return { text: generated }
  },
}
