/** `fedlora config schema COMMAND`: the JSON Schema of a command's config file, for editors. */
import type { Command } from '../command.js'
import { configSchema } from '../config-schema.js'

const commands: Readonly<Record<string, () => Promise<Command>>> = {
  train: async () => (await import('./train.js')).train,
  simulate: async () => (await import('./simulate.js')).simulate,
  serve: async () => (await import('./serve.js')).serve,
  eval: async () => (await import('./eval.js')).evaluate,
  generate: async () => (await import('./generate.js')).generate,
  chat: async () => (await import('./chat.js')).chat,
}

export const config: Command = {
  name: 'config',
  words: [
    {
      name: 'what',
      description: 'schema: the JSON Schema of a config file, for editors',
      choices: ['schema'],
      required: true,
    },
    { name: 'command', description: 'the command that reads it', choices: Object.keys(commands), required: true },
  ],
  flags: {},
  async run({ flags, output }) {
    const schema = await configSchema(await commands[flags.command as string]!())
    if (!output.json) output.text(JSON.stringify(schema, null, 2))
    return { schema }
  },
}
