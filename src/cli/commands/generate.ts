/** `fedlora generate`: continues a prompt and streams the text. */
import type { Row } from '../../data/index.js'
import { parseJsonRow } from '../../data/reading/json-rows.js'
import { generateOptionsSchema } from '../../model/generate-options.js'
import type { Prompt } from '../../model/prompt.js'
import type { FlagValues } from '../arguments.js'
import { type Command, configFlag, section, text } from '../command.js'
import { loadPlanned, openOwnAdapter, planModel } from '../open-model.js'
import { printProfile } from '../profile.js'
import { schemaFlags, schemaValues } from '../schema-flags.js'
import { adapterFlag, deviceFlag, modelFlag, modelSections } from '../sections.js'
import { UsageError } from '../usage.js'

const samplingSchema = generateOptionsSchema.omit({ adapter: true, signal: true })

function rowFlag(written: string): Row {
  try {
    const row = parseJsonRow(written) as Row | null
    if (typeof row === 'object' && row !== null && !Array.isArray(row)) return row
  } catch {
    // Told below, with what else is no row.
  }
  throw new UsageError(`--row: got ${written}, expected a JSON object such as {"instruction":"…"}`, { flag: 'row' })
}

/** What `--prompt`, `--chat` and `--row` ask. */
function asked(flags: FlagValues): Prompt {
  const [prompt, row] = [text(flags, 'prompt'), text(flags, 'row')]
  if ((prompt === undefined) === (row === undefined)) {
    throw new UsageError('fedlora generate: give either --prompt TEXT or --row JSON', { flag: 'prompt' })
  }
  if (row !== undefined) return rowFlag(row)
  return flags.chat ? [{ role: 'user', content: prompt! }] : prompt!
}

export const generate: Command = {
  name: 'generate',
  flags: {
    ...configFlag,
    model: modelFlag,
    device: deviceFlag,
    adapter: adapterFlag,
    prompt: {
      type: 'string',
      value: 'TEXT',
      description: 'what to continue; with an adapter that fedlora trained, the question in the format of its rows',
    },
    row: { type: 'string', value: 'JSON', description: 'a row of a format instead, such as {"instruction":"…"}' },
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
    const prompt = asked(flags)
    const plan = await planModel(flags, config)
    using model = await loadPlanned(plan, output)
    using adapter = await openOwnAdapter(model, plan, output)
    const answer = model.generate(prompt, { ...sampling, adapter, signal })
    for await (const piece of answer) output.piece(piece)
    output.text()
    printProfile(output, model.profile())
    return { ...(await answer.result) }
  },
}
