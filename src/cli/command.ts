/** What a command is: its flags, the sections of its config file, and what it does. Each command is one such record. */
import type { z } from 'zod'
import { readJsonObject } from '../files/atomic.js'
import { parseOptions } from '../options/parse.js'
import { type Flags, type FlagValues, suggestion, type Word } from './arguments.js'
import type { Output } from './output.js'
import { UsageError } from './usage.js'

export interface Context {
  flags: FlagValues
  /** Sections of the config file as written; each command parses them with its schemas after adding its flags. */
  config: Readonly<Record<string, unknown>>
  output: Output
  /** Aborted by SIGINT or SIGTERM. */
  signal: AbortSignal
}

export interface Command {
  name: string
  flags: Flags
  word?: Word
  /** SIGINT is the command's own affair: it does not end it after a checkpoint. A result of `interrupted` true exits with 130. */
  ownsInterrupt?: true
  /** Loaded when needed, so that a command opens only the rooms that it uses. */
  sections?: () => Promise<Readonly<Record<string, z.ZodType>>>
  /** Sections that a shared config file may hold for other commands. */
  ignoredSections?: readonly string[]
  /** The fields of the last `--json` line. */
  run(context: Context): Promise<Record<string, unknown>>
}

/** Flags that every command has. */
export const commonFlags: Flags = {
  json: {
    type: 'boolean',
    description: 'NDJSON on stdout, the last line {"type":"result",…}; text for people on stderr',
  },
  help: { type: 'boolean', description: 'print this' },
}

export const configFlag: Flags = {
  config: { type: 'string', value: 'FILE', description: 'JSON config file, see below' },
}

/** A flag's text, or undefined. */
export function text(flags: FlagValues, name: string): string | undefined {
  return flags[name] as string | undefined
}

/** Reads `--config`; sections that the command does not know are refused. */
export async function readConfig(command: Command, flags: FlagValues): Promise<Readonly<Record<string, unknown>>> {
  const path = text(flags, 'config')
  if (path === undefined) return {}
  const config = await readJsonObject(path, '--config').catch((error) => {
    throw new UsageError((error as Error).message, { path }, 'E_CONFIG', error)
  })
  const known = [...Object.keys((await command.sections?.()) ?? {}), ...(command.ignoredSections ?? [])]
  for (const key of Object.keys(config)) {
    if (known.includes(key)) continue
    throw new UsageError(
      `${path}: unknown section "${key}"${suggestion(key, known)}; fedlora ${command.name} knows ${known.join(', ')}`,
      { path, section: key },
      'E_CONFIG',
    )
  }
  return config
}

/** One section with flags laid over it, parsed; a mistake in it is a usage error. */
export function section<S extends z.ZodType>(
  schema: S,
  name: string,
  config: Readonly<Record<string, unknown>>,
  overrides: Readonly<Record<string, unknown>> = {},
): z.output<S> {
  const written = config[name] ?? {}
  const given = Object.fromEntries(Object.entries(overrides).filter(([, value]) => value !== undefined))
  const value = typeof written === 'object' && !Array.isArray(written) ? { ...written, ...given } : written
  try {
    return parseOptions(schema, value, name)
  } catch (error) {
    throw new UsageError((error as Error).message, { section: name }, 'E_CONFIG', error)
  }
}
