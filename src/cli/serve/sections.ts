/** The config file of a server: what it says of the federation, of its place, and of who may do what. */
import { resolve } from 'node:path'
import { parseServerOptions, type ServerConfig, type ServerOptions, serverSchema } from '../../server/options.js'
import type { Flag, FlagValues } from '../arguments.js'
import { type Config, section, text, usage } from '../command.js'
import { UsageError } from '../usage.js'

const sections = serverSchema.shape

export const serverSections = async () => sections

/** Sections without which there is no server. */
const needed = ['folder', 'model', 'data', 'federation'] as const

export const serverFlags: Record<'folder', Flag> = {
  folder: { type: 'string', value: 'DIR', description: 'folder of the server, in the place of the config file’s' },
}

/** What the config file says of a server, checked as far as that is possible without touching anything. */
export async function planServer(
  flags: FlagValues,
  config: Config,
): Promise<{ options: ServerOptions; config: ServerConfig }> {
  const written: Record<string, unknown> = { ...config, folder: text(flags, 'folder') ?? config.folder }
  const missing = needed.filter((name) => written[name] === undefined)
  if (missing.length > 0) {
    const message = `the config file of a server needs the sections ${needed.join(', ')}; missing: ${missing.join(', ')} (--config FILE)`
    throw new UsageError(message, { missing }, 'E_CONFIG')
  }
  // Mistakes of one section are told with their place in the file; what is meant together is checked behind that.
  for (const [name, schema] of Object.entries(sections)) {
    if (config[name] !== undefined) section(schema, name, config)
  }
  const options = { ...written, folder: resolve(String(written.folder)) } as ServerOptions
  return { options, config: await usage(() => parseServerOptions(options)) }
}
